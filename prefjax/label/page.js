"use strict";
// Texts of records enter the page as textContent alone: they are shown, never run.

const $ = (id) => document.getElementById(id);
const scale = document.body.dataset.scale;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const WORDS = ["equal", "slightly better", "better", "much better"];
const REST = 250; // ms in which keys do nothing after a new item: a key pressed twice judges once

let state = null;
let busy = false;
let ranks = []; // of each place: 1 is best, 0 not ranked yet
let now = 0; // the place a number key ranks
let shownAt = 0, hiddenAt = 0, away = 0; // seconds spent leave out those in which the page was hidden

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

const letter = (place) => LETTERS[place] ?? String(place + 1);

// A text as it is, with fenced code in the fixed-width type.
function written(text) {
  const lines = text.split("\n");
  const parts = [];
  let plain = [];
  const flush = () => { if (plain.length) parts.push(plain.join("\n")); plain = []; };
  for (let at = 0; at < lines.length; at++) {
    const end = /^\s*```/.test(lines[at]) ? lines.findIndex((line, i) => i > at && /^\s*```\s*$/.test(line)) : -1;
    if (end < 0) { plain.push(lines[at]); continue; }
    flush();
    parts.push(make("code", {}, lines.slice(at, end + 1).join("\n")));
    at = end;
  }
  flush();
  return parts;
}

function showPrompt(prompt) {
  const turns = typeof prompt === "string" ? [{ content: prompt }] : prompt;
  $("prompt").replaceChildren(...turns.map((turn) => {
    const node = make("div", { class: "turn", dir: "auto" });
    if (turn.role && turns.length > 1) node.append(make("span", { class: "role" }, turn.role));
    node.append(...written(turn.content));
    return node;
  }));
}

function showAnswers(answers) {
  $("answers").replaceChildren(...answers.map((text, place) => {
    const name = `Answer ${letter(place)}`;
    const card = make("article", { class: "answer", "data-place": place }, make("h2", { class: "name" }, scale === "ranked" ? name : letter(place)));
    if (scale === "ranked") {
      card.append(make("div", { class: "ranks", role: "group", "aria-label": `Rank of answer ${letter(place)}` },
        ...answers.map((_, at) => make("button", { type: "button", "aria-pressed": "false", "data-rank": at + 1,
          "aria-label": `Answer ${letter(place)}: rank ${at + 1}`, onclick: () => rank(place, at + 1) }, String(at + 1)))));
    }
    card.append(make("div", { class: "text", role: "region", "aria-label": name, tabindex: "0", dir: "auto" }, ...written(text)));
    return card;
  }));
}

function choice(value, key, big, plus, word, label) {
  return make("button", { type: "button", "data-value": value, "aria-label": label, "aria-keyshortcuts": key, onclick: () => judge(value) },
    make("span", { class: "big" }, big, make("span", { class: "plus" }, plus)), make("span", { class: "word" }, word), make("kbd", { "aria-hidden": true }, key));
}

function buildScale() {
  if (scale === "ranked") return;
  const most = scale === "graded" ? 3 : 1;
  const choices = [];
  for (let value = most; value >= -most; value--) {
    const side = value > 0 ? "A" : "B", by = Math.abs(value);
    const label = value === 0 ? "A and B are equal" : `${side} is ${most === 1 ? "better" : WORDS[by]}`;
    const big = value === 0 ? "=" : side, plus = most === 1 ? "" : "+".repeat(by); // where there is no room for words
    const word = value === 0 ? (most === 1 ? "a tie" : "equal") : most === 1 ? "is better" : WORDS[by];
    choices.push(choice(value, String(most - value + 1), big, plus, word, label));
  }
  $("scale").replaceChildren(make("div", { class: `choices ${most === 1 ? "three" : "seven"}`, role: "group", "aria-label": "Verdict" }, ...choices));
}

function startRanks(before) {
  ranks = state.item.answers.map((_, place) => 1 + (before ?? []).findIndex((places) => places.includes(place)));
  now = 0;
  showRanks();
}

function rank(place, at) {
  ranks[place] = at;
  const open = ranks.indexOf(0);
  now = open < 0 ? place : open;
  showRanks();
}

function showRanks() {
  const n = ranks.length;
  const chip = (place) => make("span", { class: "chip", draggable: "true", "data-place": place, "aria-hidden": true,
    ondragstart: (event) => { event.dataTransfer.setData("text/plain", String(place)); event.dataTransfer.effectAllowed = "move"; } }, letter(place));
  const chips = (at) => ranks.flatMap((r, place) => (r === at ? [chip(place)] : []));
  const words = (at) => (at === 1 ? "1 best" : at === n ? `${n} worst` : String(at));
  const slot = (at) => make("div", { class: "slot", "data-rank": at,
    ondragover: (event) => { event.preventDefault(); event.currentTarget.classList.add("over"); },
    ondragleave: (event) => event.currentTarget.classList.remove("over"),
    ondrop: (event) => { event.preventDefault(); const place = Number(event.dataTransfer.getData("text/plain")); if (place in ranks) rank(place, at); } },
    make("div", {}, words(at)), ...chips(at));
  const open = chips(0);
  const hint = open.length ? [make("span", { class: "word" }, "Drag, or press a number for ", make("strong", {}, letter(now)), ":"), ...open] : ["Equal ranks are ties."];
  $("scale").replaceChildren(
    make("div", { class: "rail" }, ...ranks.map((_, at) => slot(at + 1))),
    make("div", { class: "tray" }, ...hint, make("button", { type: "button", id: "record", disabled: open.length > 0, onclick: () => judge(ranked()) },
      "Record ", make("kbd", { "aria-hidden": true }, "Enter"))));
  for (const card of $("answers").children) {
    const place = Number(card.dataset.place);
    card.classList.toggle("now", place === now && open.length > 0);
    for (const button of card.querySelectorAll("[data-rank]")) button.setAttribute("aria-pressed", String(Number(button.dataset.rank) === ranks[place]));
  }
}

function ranked() {
  const places = [...ranks.keys()];
  return [...new Set(ranks)].sort((a, b) => a - b).map((at) => places.filter((place) => ranks[place] === at));
}

function show(next) {
  state = next;
  const total = state.judged + state.left;
  $("count").textContent = `${state.judged} of ${total}`;
  $("progress").max = Math.max(total, 1);
  $("progress").value = state.judged;
  $("pace").textContent = state.pace;
  $("agreement").textContent = state.agreement ? state.agreement.words + (state.agreement.low ? ": low, talk about the guideline" : "") : "";
  $("agreement").className = state.agreement && state.agreement.low ? "low" : "";
  $("undo").disabled = !state.undo;
  if (state.trouble && $("error").hidden) fail(`What others judged is shown as it was before: ${state.trouble}`);
  $("work").hidden = !state.item;
  $("done").hidden = !!state.item;
  if (!state.item) { $("done").firstElementChild.focus(); return; }
  showPrompt(state.item.prompt);
  showAnswers(state.item.answers);
  if (scale === "ranked") { startRanks(state.again?.value); }
  const was = state.again ?? { flags: [], comment: "" };
  $("comment").value = was.comment;
  for (const box of document.getElementsByName("flag")) box.checked = was.flags.includes(box.value);
  for (const button of $("scale").querySelectorAll("[data-value]")) button.classList.toggle("was", !!state.again && String(was.value) === button.dataset.value);
  for (const box of [$("prompt"), ...document.querySelectorAll(".answer .text")]) box.scrollTop = 0;
  window.scrollTo(0, 0);
  $("top").focus({ preventScroll: true });
  shownAt = performance.now();
  away = 0;
}

function fail(words) {
  $("error").textContent = words;
  $("error").hidden = !words;
  if (words) window.scrollTo(0, 0);
}

async function ask(path, sent) {
  if (busy) return null;
  busy = true;
  try {
    const options = sent === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(sent) };
    const response = await fetch(path, options);
    const answer = await response.json();
    fail(response.ok ? "" : answer.error);
    return response.ok ? answer : (answer.state ?? null);
  } catch {
    fail("prefjax label does not answer. Is it still running? Start the same command again and open the address it prints; what was confirmed is saved.");
    return null;
  } finally {
    busy = false;
  }
}

async function judge(value) {
  if (!state || !state.item) return;
  const seconds = Math.min((performance.now() - shownAt - away) / 1000, 86400);
  const flags = [...document.getElementsByName("flag")].filter((box) => box.checked).map((box) => box.value);
  const next = await ask("judge", { key: state.item.key, value, seconds, flags, comment: $("comment").value });
  if (!next) return;
  show(next);
  $("said").textContent = `Saved. ${next.judged} of ${next.judged + next.left}.`;
}

async function undo() {
  if ($("undo").disabled) return;
  const next = await ask("undo", {});
  if (next) { show(next); $("said").textContent = "The last verdict is taken back."; }
}

async function stop() {
  if (!(await ask("stop", {}))) return;
  for (const id of ["work", "done"]) $(id).hidden = true;
  $("stopped").hidden = false;
  for (const id of ["undo", "stop"]) $(id).disabled = true;
  state = null;
  $("stopped").firstElementChild.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.target.id === "comment") {
    if (event.key === "Escape") { $("top").focus({ preventScroll: true }); event.preventDefault(); }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const pressed = event.key.toLowerCase();
  const box = [...document.getElementsByName("flag")].find((one) => one.dataset.key === pressed);
  if (pressed === "g") $("guide").open = !$("guide").open;
  else if (pressed === "u") undo();
  else if (!state || !state.item || performance.now() - shownAt < REST) return;
  else if (box) box.checked = !box.checked;
  else if (pressed === "c") $("comment").focus();
  else if (pressed === "x") judge(null);
  else if (scale === "ranked" && Number(pressed) >= 1 && Number(pressed) <= ranks.length) rank(focused() ?? now, Number(pressed));
  else if (scale === "ranked" && pressed === "enter" && !acts(event.target)) $("record").click();
  else if (scale !== "ranked" && /^[1-9]$/.test(pressed)) $("scale").querySelector(`[aria-keyshortcuts="${pressed}"]`)?.click();
  else return;
  event.preventDefault();
});

// Whether Enter already means something where it was pressed; on the rank an answer has, it does not.
function acts(target) {
  return target.closest("button, summary, a, input") !== null && target.getAttribute("aria-pressed") !== "true";
}

function focused() {
  const card = document.activeElement?.closest?.(".answer");
  return card ? Number(card.dataset.place) : null;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) hiddenAt = performance.now();
  else away += performance.now() - Math.max(hiddenAt, shownAt);
});
$("undo").addEventListener("click", undo);
$("stop").addEventListener("click", stop);
$("skip").addEventListener("click", () => judge(null));
$("judge").addEventListener("submit", (event) => event.preventDefault());
buildScale();
ask("state").then((first) => {
  if (!first) return;
  $("guide").open = window.innerWidth >= 1120 || first.judged === 0;
  show(first);
});
