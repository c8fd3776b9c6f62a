/** What a command was answered with when it was not done. */
export class CommandError extends Error {
  /**
   * @param {string} reason a word for programs
   * @param {string} message words for people
   * @param {object} [detail] the server's `error` frame, where there was one
   */
  constructor(reason, message, detail = {}) {
    super(message);
    this.name = "CommandError";
    this.reason = reason;
    this.detail = detail;
  }
}
