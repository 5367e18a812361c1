// Requests to the server: errors in words, API keys, server-sent events, and a notice while the server cannot be reached.
import { t } from "./words.js";

const KEY = "recurra.key", FIRST_WAIT = 1000, LONGEST_WAIT = 30000;
let asking = null;

// An answer of the server that is an error, or no answer (status 0).
export class ServerError extends Error {
  constructor(status, message, path = null, retryAfter = null) {
    super(message);
    Object.assign(this, { status, path, retryAfter });
  }
}

export const address = (path) => new URL(path, document.baseURI);
export const modelPath = (name, action = "") => `v1/models/${encodeURIComponent(name)}${action}`;
export const key = () => sessionStorage.getItem(KEY);

// The subprotocols that carry the key, because a browser cannot set headers of a WebSocket.
export const socketProtocols = () => {
  if (key() === null) return [];
  const bytes = new TextEncoder().encode(key()), text = btoa(String.fromCharCode(...bytes));
  return ["recurra", `recurra.key.${text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`];
};

// Opens a response. Asks for the API key if the server needs one.
export async function open(path, { body, signal, method = body === undefined ? "GET" : "POST" } = {}) {
  for (;;) {
    const headers = body === undefined ? {} : { "content-type": "application/json" }, used = key();
    if (used !== null) headers.authorization = `Bearer ${used}`;
    let response;
    try {
      response = await fetch(address(path), { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      connection.lose();
      throw new ServerError(0, t("noAnswer"));
    }
    connection.found();
    if (response.status === 401) {
      if (key() === used) await askKey(used !== null);
      continue;
    }
    if (!response.ok) throw await errorOf(response);
    return response;
  }
}

export const request = async (path, options) => (await open(path, options)).json();

async function errorOf(response) {
  const wait = response.headers.get("retry-after");
  try {
    const { error } = await response.json();
    return new ServerError(response.status, error.message, error.path ?? null, wait);
  } catch {
    return new ServerError(response.status, t("status", { status: response.status }), null, wait);
  }
}

// Calls `onevent(name, data)` for each server-sent event of an answer.
export async function events(path, options, onevent) {
  const reader = (await open(path, options)).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = block.split("\n").map((line) => /^(\w+): ?(.*)$/.exec(line)).filter(Boolean);
      const of = (name) => fields.filter((field) => field[1] === name).map((field) => field[2]).join("\n");
      onevent(of("event") || "message", JSON.parse(of("data")));
    }
  }
}

// Asks the user for a key; several requests share one dialog.
export function askKey(wrong) {
  asking ??= new Promise((done) => {
    const { el } = R, dialog = document.getElementById("key-dialog");
    const field = el("input", { id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "key-says" });
    const form = el("form", { onsubmit: (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEY, field.value.trim());
      dialog.close();
    } }, el("h2", { id: "key-title" }, t("keyTitle")), el("p", { id: "key-says", class: wrong ? "error" : null }, t(wrong ? "keyWrong" : "keySays")),
    el("label", { for: "key" }, t("keyLabel")), field, el("button.primary", { type: "submit" }, t("keyUse")));
    dialog.replaceChildren(form);
    dialog.oncancel = (event) => event.preventDefault(); // without a key there is nothing to show
    dialog.onclose = () => { asking = null; done(); };
    dialog.showModal();
    field.focus();
  });
  return asking;
}

// Whether the server can be reached. While it cannot, it is tried again after growing times.
export const connection = {
  lost: false, wait: FIRST_WAIT, timer: 0, listeners: [],
  onfound(listener) { this.listeners.push(listener); },
  lose() {
    if (this.lost) return;
    this.lost = true;
    this.wait = FIRST_WAIT;
    this.schedule();
  },
  schedule() {
    let left = Math.round(this.wait / 1000);
    const notice = document.getElementById("offline"), text = R.el("span"), show = () => { text.textContent = t("offline", { seconds: left }); };
    notice.replaceChildren(text, " ", R.el("button", { type: "button", onclick: () => this.probe() }, t("tryNow")));
    notice.hidden = false;
    show();
    clearInterval(this.timer);
    this.timer = setInterval(() => { left -= 1; if (left > 0) show(); else this.probe(); }, 1000);
  },
  async probe() {
    clearInterval(this.timer);
    try {
      await fetch(address("health/live"), { cache: "no-store" });
      this.found();
    } catch {
      this.wait = Math.min(LONGEST_WAIT, 2 * this.wait);
      this.schedule();
    }
  },
  found() {
    if (!this.lost) return;
    this.lost = false;
    clearInterval(this.timer);
    document.getElementById("offline").hidden = true;
    for (const listener of this.listeners) listener();
  },
};
