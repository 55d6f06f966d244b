// What makes the pages live. They work without it.
"use strict";
(() => {
  const every = 2500; // milliseconds between looks at the changing part of a page
  const calm = 30000; // the same while nothing runs
  const pause = 20000; // milliseconds at least between two things that are read out
  const most = 2000; // lines of a step's log that are kept in the page
  const words = document.body.dataset;

  // --- the changing part -----------------------------------------------------

  const part = () => document.getElementById("live");
  const squeeze = (text) => text.replace(/\s+/g, " ").trim();
  const told = (root) => squeeze(root?.querySelector("[data-say]")?.textContent || "");

  let busy = false;
  let due = 0; // a timer
  let looked = Date.now();
  let latest = ""; // the changing part as it was sent
  let said = told(part());
  let saidAt = 0;

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
      const text = answer.ok ? await answer.text() : latest;
      if (text !== latest) replace(old, text);
      latest = text;
    } catch {
      // The service is away for a moment; the next look finds it.
    } finally {
      busy = false;
      looked = Date.now();
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
    const over = old.hasAttribute("data-active") && !fresh.hasAttribute("data-active");
    say(told(fresh), over);
    old.replaceWith(document.adoptNode(fresh));
    if (graph && part().querySelector("#graph")) part().querySelector("#graph").scrollLeft = graph.scrollLeft;
    if (focus) {
      const next = part().querySelector(focus);
      if (next) next.focus({ preventScroll: true });
    }
    copies(part());
    if (over) ended();
    if (old.dataset.events !== part().dataset.events) again();
  }

  // say has it read out what is new, but not all the time; the end of things always.
  function say(text, over) {
    if (text === said || !over && Date.now() - saidAt < pause) return;
    said = text;
    saidAt = Date.now();
    document.getElementById("said").textContent = text;
  }

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
  let over = false; // what we listened to has told its last
  let seen = Number(part()?.dataset.after || 0);

  function listen() {
    if (!log || !part().dataset.events || over || stream || document.hidden) return;
    stream = new EventSource(part().dataset.events + "?after=" + seen);
    for (const kind of ["message", "status", "stage", "notice", "vertex", "log"]) stream.addEventListener(kind, hear);
    stream.addEventListener("error", () => {
      if (stream && stream.readyState === EventSource.CLOSED) stop();
    });
  }

  function stop() {
    if (stream) stream.close();
    stream = null;
  }

  // again listens to another build from its beginning: the one that was made for
  // this one, too, was cancelled, and now this one is made. Or there is no more.
  function again() {
    stop();
    over = !part().dataset.events;
    if (over) return;
    seen = 0;
    log.replaceChildren();
    listen();
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
      over = true;
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
      button.setAttribute("aria-label", words.copy + " " + code.textContent);
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
    document.getElementById("said").textContent = words.copied;
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
  // A graph that is too wide begins where one looks first.
  const here = live.querySelector("#graph .failed rect, #graph .running rect");
  if (here) live.querySelector("#graph").scrollLeft = Number(here.getAttribute("x")) - 40;
  setInterval(() => {
    const active = part().hasAttribute("data-active");
    if (document.hidden || log && !active) return;
    if (!log && active || Date.now() - looked >= calm) {
      listen(); // to a service that was away for long
      renew();
    }
  }, every);
})();
