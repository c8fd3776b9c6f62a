/** Where in the text the findings of a validation are. */
import { addressOf } from "../address.js";
import { fileOfFinding } from "./sources.js";

/**
 * @param {import("../store.js").ProjectStore} store
 * @param {object} proposal
 * @param {object | null} run the text that it judged is the one that is meant
 * @returns {{key: string, of: (finding: object) => string | null}} key: what the addresses hang on
 */
export function findingPlaces(store, proposal, run) {
  const { list } = store.texts.revisions(proposal);
  const number = run?.revision?.number ?? list[0]?.number;
  const revision = list.find((each) => each.number === number);
  return {
    key: revision ? `${proposal.id} ${number} ${list[0].number}` : "",
    of({ path, line }) {
      const file = revision && fileOfFinding(path, revision.files);
      if (!file) return null;
      return addressOf({
        project: store.project,
        proposal: proposal.id,
        view: "text",
        file,
        revision: number === list[0].number ? null : number,
        line,
      });
    },
  };
}
