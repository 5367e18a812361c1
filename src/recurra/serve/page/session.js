// One session on a WebSocket. After a lost connection it is continued where it was, with the step that had no answer.
import { address, connection, key, modelPath, socketProtocols, askKey, ServerError } from "./api.js";
import { t } from "./words.js";

const FIRST_WAIT = 500, LONGEST_WAIT = 30000;

export class Session {
  // handlers: answer(message, step), error(ServerError), state("connecting" | "open" | "lost" | "new" | "closed")
  constructor(model, handlers) {
    Object.assign(this, { model, handlers, id: null, handle: null, seq: 0, sent: null, waiting: [], wait: FIRST_WAIT, closed: false });
    this.connect();
  }

  get idle() { return this.handle !== null && this.sent === null && !this.waiting.length; }

  connect() {
    const url = address(modelPath(this.model, "/stream"));
    url.protocol = url.protocol.replace("http", "ws");
    this.handlers.state("connecting");
    const socket = this.socket = new WebSocket(url, socketProtocols()), usedKey = key();
    let opened = false;
    socket.onopen = () => { opened = true; this.wait = FIRST_WAIT; this.write({ open: this.id === null ? {} : { session: this.id } }); };
    socket.onmessage = (event) => this.read(JSON.parse(event.data));
    socket.onclose = () => this.lose(opened, usedKey);
  }

  write(message) { this.socket.send(JSON.stringify(message)); }

  // Sends steps after those that wait. `step` is returned with the answer.
  step(inputs, step) {
    this.waiting.push({ inputs, step });
    this.next();
  }

  next() {
    if (this.handle === null || this.sent !== null || !this.waiting.length) return;
    this.sent = { ...this.waiting.shift(), seq: this.seq };
    this.write({ handle: this.handle, inputs: this.sent.inputs, seq: this.sent.seq });
  }

  read(message) {
    if (message.error) {
      const { status, message: text, path } = message.error;
      this.sent = null;
      if ([404, 409, 410].includes(status)) { this.begin(); return; }
      this.handlers.error(new ServerError(status, text, path ?? null));
      if (this.handle === null) this.socket.close(); // no session could be opened: tries again later
      else this.next();
    } else if (message.opened !== undefined) this.continue(message);
    else if (message.output && this.sent && message.seq === this.sent.seq) {
      const { step } = this.sent;
      this.sent = null;
      this.seq = message.seq + 1;
      this.handlers.answer(message, step);
      this.next();
    }
  }

  continue(message) {
    const isNew = this.id !== message.session || (message.seq === 0 && this.seq > 0);
    Object.assign(this, { id: message.session, handle: message.opened });
    if (isNew) this.seq = message.seq;
    this.handlers.state(isNew ? "new" : "open");
    if (this.sent === null) { this.next(); return; }
    this.sent.seq = this.seq; // repeating a number returns the same answer
    this.write({ handle: this.handle, inputs: this.sent.inputs, seq: this.sent.seq });
  }

  // the session expired: begins another one on the same socket
  begin() {
    Object.assign(this, { id: null, handle: null, seq: 0 });
    this.write({ open: {} });
  }

  async lose(opened, usedKey) {
    if (this.closed) return;
    this.handle = null;
    this.handlers.state("lost");
    if (!opened && usedKey !== key()) { this.connect(); return; }
    if (!opened) {
      // a browser does not tell why a socket was refused; an ordinary request does
      try {
        const response = await fetch(address(modelPath(this.model)), { headers: usedKey === null ? {} : { authorization: `Bearer ${usedKey}` } });
        if (response.status === 401) { await askKey(usedKey !== null); this.connect(); return; }
        this.handlers.error(new ServerError(response.status, t("socketRefused")));
      } catch { connection.lose(); }
    }
    this.timer = setTimeout(() => this.connect(), this.wait * (0.75 + 0.5 * Math.random()));
    this.wait = Math.min(LONGEST_WAIT, 2 * this.wait);
  }

  // Ends the session.
  close() {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.timer);
    if (this.handle !== null && this.socket.readyState === WebSocket.OPEN) this.write({ close: this.handle });
    this.socket.close();
    this.handlers.state("closed");
  }
}
