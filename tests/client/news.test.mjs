/** What others did, in words, and what they are called. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Names } from "../../static/app/names.js";
import { createNews, describeNews } from "../../static/app/news.js";

const names = new Names({ id: "ada", name: "Ada Lovelace" });
const said = (event, run) => {
  const { who, did, then } = describeNews(event, { names, run });
  return [who, did, "P", then].filter(Boolean).join(" ");
};

test("each kind of news has words", () => {
  const cases = [
    [{ type: "comment_created", actor: "ben", comment: { author_name: "Ben" } }, "Ben commented on P"],
    [{ type: "status_changed", actor: "ada", to: "in_review" }, "Ada Lovelace moved P to “In review”"],
    [{ type: "status_changed", to: "draft" }, "A change of its text moved P to “Draft”"],
    [
      { type: "review_submitted", actor: "ben", review: { verdict: "request_changes" } },
      "ben asked for changes to P",
    ],
    [{ type: "review_submitted", actor: "ben", review: { verdict: "constructor" } }, "ben reviewed P"],
    [{ type: "proposal_created", actor: "ben" }, "ben proposed P"],
    [{ type: "validation_complete", status: "failed" }, "The validation of P failed"],
    [{ type: "iteration_complete" }, "The revision of P is done"],
    [{ type: "iteration_error" }, "The revision of P could not finish"],
  ];
  for (const [event, words] of cases) {
    assert.equal(said(event, { kind: event.type.split("_")[0] }), words);
  }
});

test("people are called by the names that are known, and learned once", () => {
  const people = new Names({ id: "ada" });
  assert.equal(people.of("ben"), "ben");
  const state = {
    present: [{ user_id: "ben", name: "Ben" }],
    proposals: {
      p: {
        reviews: [{ reviewer: "cyd", reviewer_name: "Cyd" }],
        comments: [{ author: "dan", author_name: "Dan" }],
      },
    },
  };
  people.learn(state);
  const { version } = people;
  people.learn({ ...state });
  assert.equal(people.version, version, "nothing new");
  assert.deepEqual(["ben", "cyd", "dan", "eve"].map((id) => people.of(id)), ["Ben", "Cyd", "Dan", "eve"]);
});

test("what happened while the page was closed is noted from the stored events, within bounds", async () => {
  const asked = [];
  const noted = [];
  let checked = "e-10";
  const unread = {
    get checked() {
      return checked;
    },
    note: ({ id }) => noted.push(id),
    reached: (position) => (checked = position),
  };
  const store = {
    history: async (after) => {
      asked.push(after);
      return { events: [{ id: `of ${after}` }], position: `e-${asked.length * 20}`, more: asked.length < 3 };
    },
    changed: () => {},
  };
  const news = createNews({ store, unread, names, me: { id: "ada" }, say: () => {}, place: () => ({}) });
  await news.catchUp("e-50");
  assert.deepEqual(asked, ["e-10", "e-20", "e-40"]);
  assert.deepEqual(noted, ["of e-10", "of e-20", "of e-40"]);
  assert.equal(checked, "e-60");
  checked = null;
  asked.length = 0;
  await news.catchUp("e-70");
  assert.equal(asked[0], "e-70", "on a first visit from the snapshot on");
});
