// What makes the pages live. They work without it.
"use strict";
(() => {
  const every = 2500; // milliseconds between looks at the changing part of a page
  const most = 2000; // lines of a step's log that are kept in the page
  const words = document.body.dataset;

  // --- the changing part -----------------------------------------------------

  let busy = false;
  let due = 0; // a timer

  const part = () => document.getElementById("live");

  // renew asks the server for the changing part and puts it in the place of the
  // old one. What was unfolded stays so, and so does the focus.
  async function renew() {
    due = 0;
    const old = part();
    if (!old || !old.dataset.poll) return;
    if (busy) {
      soon(); // what has changed meanwhile must not be missed
      return;
    }
    busy = true;
    try {
      const answer = await fetch(old.dataset.poll, { credentials: "same-origin", redirect: "error" });
      if (answer.ok) replace(old, await answer.text());
    } catch {
      // The service is away for a moment; the next look finds it.
    } finally {
      busy = false;
    }
  }

  function replace(old, text) {
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("live");
    if (!fresh) return;
    for (const was of old.querySelectorAll("details[id]")) {
      const now = fresh.querySelector("#" + CSS.escape(was.id));
      if (now) now.open = was.open;
    }
    const focus = old.contains(document.activeElement) ? name(document.activeElement) : null;
    const graph = old.querySelector("#graph");
    const said = document.getElementById("said");
    const say = squeeze(fresh.querySelector("[data-say]")?.textContent || "");
    if (say !== squeeze(old.querySelector("[data-say]")?.textContent || "")) said.textContent = say;
    const over = old.hasAttribute("data-active") && !fresh.hasAttribute("data-active");
    old.replaceWith(document.adoptNode(fresh));
    if (graph && part().querySelector("#graph")) part().querySelector("#graph").scrollLeft = graph.scrollLeft;
    if (focus) {
      const next = part().querySelector(focus);
      if (next) next.focus({ preventScroll: true });
    }
    copies(part());
    if (over) ended();
  }

  const squeeze = (text) => text.replace(/\s+/g, " ").trim();

  // name is a selector that finds an element again after it was replaced.
  function name(element) {
    if (element.id) return "#" + CSS.escape(element.id);
    const link = element.getAttribute("href");
    if (link) return "a[href=\"" + CSS.escape(link) + "\"]";
    const folding = element.closest("details[id]");
    return element.matches("summary") && folding ? "#" + CSS.escape(folding.id) + " > summary" : null;
  }

  function soon() {
    if (!due && !document.hidden) due = setTimeout(renew, every);
  }

  // ended shows the buttons of a build that is over.
  function ended() {
    for (const form of document.querySelectorAll("form[data-while]")) form.hidden = form.dataset.while === "live";
  }

  // --- a build's log -----------------------------------------------------------

  const log = document.getElementById("log");
  const titles = new Map(); // of steps, by digest
  let stream = null;
  let seen = log ? Number(log.dataset.after || 0) : 0;

  function listen() {
    if (!log || !log.dataset.events || stream || document.hidden) return;
    stream = new EventSource(log.dataset.events + "?after=" + seen);
    for (const kind of ["message", "status", "stage", "notice", "vertex", "log"]) stream.addEventListener(kind, hear);
    stream.addEventListener("error", () => {
      if (stream && stream.readyState === EventSource.CLOSED) stop();
    });
  }

  function stop() {
    if (stream) stream.close();
    stream = null;
  }

  function hear(message) {
    let event;
    try {
      event = JSON.parse(message.data);
    } catch {
      return;
    }
    const seq = Number(event.seq || message.lastEventId || 0);
    if (seq && seq <= seen) return;
    if (seq) seen = seq;
    const kind = event.kind || message.type;
    const data = event.kind ? event.data : event;
    if (kind === "log") {
      print(data);
      return;
    }
    if (kind === "vertex") titles.set(data.digest, data.name);
    if (kind === "status" && data.status === "running") log.replaceChildren(); // another attempt prints anew
    if (kind === "status" && ["succeeded", "failed", "cancelled"].includes(data.status)) {
      stop();
      delete log.dataset.events;
      setTimeout(renew, 300);
    }
    soon();
  }

  function print(data) {
    const step = data.vertex || "";
    let box = [...log.querySelectorAll("details.log")].find((d) => d.dataset.step === step);
    if (!box) box = begin(step);
    const pre = box.querySelector("pre");
    const lines = plain(data.text).replace(/\n$/, "").split("\n");
    const fresh = document.createDocumentFragment();
    for (const line of lines.slice(-most)) {
      const span = document.createElement("span");
      span.textContent = line + "\n";
      fresh.append(span);
    }
    pre.append(fresh);
    while (pre.childElementCount > most) pre.firstElementChild.remove();
    const last = lines.findLast((line) => line.trim() !== "");
    if (last !== undefined) box.querySelector(".log-last").textContent = last;
  }

  // begin adds the box of a step that prints for the first time. What was opened
  // by us before is folded up again, unless somebody reads it.
  function begin(step) {
    for (const other of log.querySelectorAll("details[data-ours]")) {
      if (!other.contains(document.activeElement)) other.open = false;
      delete other.dataset.ours;
    }
    const none = document.getElementById("nolog");
    if (none) none.remove();
    const brief = step.slice(-64, -52);
    const row = document.getElementById("v-" + brief);
    const known = titles.get(step) || row?.querySelector("th")?.firstChild?.textContent;
    const title = plain(step ? known || brief : log.dataset.general);
    const box = make("details", "log");
    box.dataset.step = step;
    box.dataset.ours = "";
    box.open = true;
    const summary = make("summary", "");
    const label = make("span", "log-name");
    label.textContent = title;
    summary.append(label, make("code", "log-last"));
    const tail = make("div", "tail");
    tail.tabIndex = 0;
    tail.setAttribute("role", "region");
    tail.setAttribute("aria-label", log.dataset.region + " " + title);
    tail.append(make("pre", ""));
    box.append(summary, tail);
    log.append(box);
    return box;
  }

  function make(tag, className) {
    const element = document.createElement(tag);
    element.className = className;
    return element;
  }

  // plain leaves out what only terminals understand, as the server does.
  function plain(text) {
    return String(text)
      .replace(/\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b\[[0-?]*[ -/]*[@-~]?|\x1b[PX^_][^\x1b]*(?:\x1b\\)?|\x1b[ -/]*[0-~]?/g, "")
      .replace(/\r+\n/g, "\n").replace(/\r+$/gm, "").replace(/[^\n]*\r/g, "")
      .replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, "");
  }

  // --- copying -----------------------------------------------------------------

  function copies(root) {
    for (const code of root.querySelectorAll("code[data-copy]")) {
      const button = make("button", "copy");
      button.type = "button";
      button.textContent = words.copy;
      button.addEventListener("click", () => copy(code, button));
      code.after(button);
    }
  }

  // copy also works where the clipboard is closed to pages: over plain HTTP.
  async function copy(code, button) {
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      getSelection().selectAllChildren(code);
      if (!document.execCommand("copy")) return;
    }
    button.textContent = words.copied;
    setTimeout(() => { button.textContent = words.copy; }, 1500);
  }

  // --- beginning ---------------------------------------------------------------

  copies(document);
  const live = part();
  if (!live) return;
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      stop();
      clearTimeout(due);
      due = 0;
    } else {
      listen();
      renew();
    }
  });
  listen();
  if (!log) setInterval(() => { if (!document.hidden && part().hasAttribute("data-active")) renew(); }, every);
})();
