// Keeps the page live: asks for its inside every two seconds and changes only what differs. Without it the page reloads.
"use strict";

const EVERY_MS = 2000;
const LONGEST_MS = 10000;
const GIVE_UP_MS = 20000;
const link = document.getElementById("link");
const said = document.getElementById("said");
let timer = 0;
let failures = 0;
let asking = false;

function say(state, text) {
  document.body.classList.toggle("stale", state === "away" || state === "out");
  if (link.dataset.state !== state) link.dataset.state = state;
  if (said.textContent !== text) said.textContent = text;
}

function clock() {
  return new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}
let since = clock();

// Makes `old` like `fresh`, keeping the nodes that stay: open details, focus and selection survive.
function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh);
  } else if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = fresh.nodeValue;
  } else {
    morphAttributes(old, fresh);
    morphChildren(old, fresh);
  }
}

function morphAttributes(old, fresh) {
  for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  }
}

function morphChildren(old, fresh) {
  const named = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const kept = next.id ? named.get(next.id) : !at?.id && at?.nodeName === next.nodeName ? at : null;
    if (!kept) {
      old.insertBefore(next, at);
    } else {
      if (kept === at) at = at.nextSibling;
      else old.insertBefore(kept, at);
      morph(kept, next);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

async function ask() {
  const reply = await fetch("/page/live", { cache: "no-store", signal: AbortSignal.timeout(GIVE_UP_MS) });
  if (reply.status === 401) return "out";
  if (reply.status === 503) return "store";
  if (!reply.ok) return "broken";
  const fresh = new DOMParser().parseFromString(await reply.text(), "text/html").getElementById("yard");
  morph(document.getElementById("yard"), fresh);
  return "live";
}

const AWAY = { store: "Postgres is away", broken: "The API answers with an error", gone: "The API does not answer" };

async function turn() {
  if (asking || document.hidden) return;
  asking = true;
  clearTimeout(timer);
  const came = await ask().catch(() => "gone");
  asking = false;
  if (came === "out") {
    say("out", "Your session has ended. Reload to sign in.");
    return;
  }
  if (came === "live") {
    failures = 0;
    since = clock();
    say("live", "Live");
  } else {
    failures += 1;
    say("away", `${AWAY[came]}; figures of ${since}. Trying again.`);
  }
  timer = setTimeout(turn, Math.min(LONGEST_MS, EVERY_MS * 2 ** Math.max(0, failures - 1)));
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (document.hidden) say("paused", "Paused while hidden");
  else turn();
});
say("live", "Live");
timer = setTimeout(turn, EVERY_MS);
