/** Small helpers for building and patching the document. Text is always text, never HTML. */

/**
 * Make an element: `h("button.primary", {type: "button", onclick}, "Start", icon)`.
 *
 * @param {string} spec tag, then classes after dots
 * @param {Record<string, unknown>} [props] `on...` listeners, `class`, `dataset`; else a property
 *   where the element has one of that name, or an attribute. null and undefined are left out.
 * @param {...(Node | string | number | null | false | undefined | Array)} children
 */
export function h(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const element = document.createElement(tag);
  if (classes.length > 0) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.classList.add(...String(value).split(" ").filter(Boolean));
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

function append(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : upright(child));
  }
}

/** Give `parent` exactly these children. */
export function fill(parent, ...children) {
  const fragment = document.createDocumentFragment();
  append(fragment, children);
  parent.replaceChildren(fragment);
}

/** Set text only where it differs, so that a screen reader is not told of nothing. */
export function setText(element, text) {
  const shown = upright(text);
  if (element.textContent !== shown) element.textContent = shown;
}

/** What people wrote, amid other words: whichever way it runs, they stay in their order. */
export function said(text) {
  return h("bdi", {}, text);
}

/** Without what turns a line round: an override of the direction is shown as what it is, a mark. */
function upright(text) {
  return String(text).replace(/[\u202d\u202e]/g, "\ufffd");
}

/**
 * Let the browser draw and answer its user before what follows.
 *
 * @returns {Promise<void>} resolved in a task of its own, ahead of others where the browser can do that
 */
export function nextTask() {
  return globalThis.scheduler?.yield?.() ?? new Promise((resolve) => setTimeout(resolve));
}

export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

/**
 * Close what may have the focus, which then goes to `next`. Where the focus is elsewhere it stays
 * there: an answer of the server may close a form while its writer types into another.
 *
 * @param {() => void} close hides or removes `element`
 * @param {HTMLElement | null} next
 */
export function closeFocused(element, close, next) {
  const { activeElement: at, body } = document;
  const isIn = at === null || at === body || element.contains(at);
  close();
  if (isIn) next?.focus();
}

/**
 * Keep a list's elements in step with its items: made once for each key, moved and removed as
 * needed, so that focus and scroll position survive.
 *
 * @param {(item: any) => string} keyOf
 * @param {(item: any) => {element: HTMLElement, update: (item: any) => void}} make
 */
export function keyedList(parent, keyOf, make) {
  const known = new Map();
  return (items) => {
    const wanted = new Set(items.map(keyOf));
    for (const [key, { element }] of known) {
      if (wanted.has(key)) continue;
      element.remove();
      known.delete(key);
    }
    let at = parent.firstElementChild;
    for (const item of items) {
      const key = keyOf(item);
      if (!known.has(key)) known.set(key, make(item));
      const { element, update } = known.get(key);
      update(item);
      if (element === at) at = at.nextElementSibling;
      else parent.insertBefore(element, at);
    }
  };
}
