"use strict";

const form = document.getElementById("ask");
const status = document.getElementById("status");
const answers = document.getElementById("answers");

function cell(row, content, kind) {
  const made = row.insertCell();
  made.textContent = content;
  if (kind === "text") made.dir = "auto";
}

async function ask(model, texts) {
  const headers = { "Content-Type": "application/json" };
  const token = document.getElementById("token");
  if (token) headers.Authorization = `Bearer ${token.value}`;
  const started = performance.now();
  const response = await fetch("predict", { method: "POST", headers, body: JSON.stringify({ model, texts }) });
  const answer = await response.json();
  if (!response.ok) {
    const detail = typeof answer.detail === "string" ? answer.detail : response.statusText;
    throw new Error(`${form.dataset.refused} ${response.status}: ${detail}`);
  }
  return { ...answer, seen: performance.now() - started };
}

function show(model, texts, answer) {
  const body = answers.querySelector("tbody");
  texts.forEach((text, place) => {
    const { label, proba } = answer.predictions[place];
    const row = body.insertRow();
    cell(row, text, "text");
    cell(row, form.querySelector(`input[value="${model}"]`).parentElement.textContent.trim());
    cell(row, label, "text");
    cell(row, `${(100 * proba[label]).toFixed(1)} %`);
    cell(row, place ? "" : `${answer.milliseconds.toFixed(1)} / ${answer.seen.toFixed(1)}`);
  });
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const texts = document.getElementById("texts").value.split("\n").filter((line) => line.trim());
  const models = [...form.querySelectorAll("input[name=model]:checked")].map((box) => box.value);
  if (!texts.length || !models.length) return;
  const button = form.querySelector("button");
  button.disabled = true;
  status.textContent = "…";
  answers.querySelector("tbody").replaceChildren();
  try {
    for (const model of models) show(model, texts, await ask(model, texts));
    answers.hidden = false;
    status.textContent = "";
  } catch (error) {
    status.textContent = error instanceof TypeError ? form.dataset.failed : error.message;
  } finally {
    button.disabled = false;
  }
});
