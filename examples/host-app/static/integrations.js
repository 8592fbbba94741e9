// The page's script. Without it the buttons follow a redirect to the connect pages, which
// lead back here; with it those open in a window, and what runs is seen to end.
"use strict";

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form.connect");
  if (!form) return;
  event.preventDefault();
  // The server makes the session: which tenant it is for, no browser says.
  const session = fetch(form.action, {
    method: "POST", body: new URLSearchParams(new FormData(form)), headers: { Accept: "application/json" },
  }).then((answer) => answer.ok ? answer.json() : Promise.reject(new Error("no session")));
  try {
    // v1.js opens the window, hears its messages, and goes there in this one if a browser
    // opens none.
    const result = await CofferdamConnect.open(session.then((made) => made.url));
    location.assign(`/integrations?connect_session=${encodeURIComponent(result.session || "")}`);
  } catch {
    form.submit(); // The answer says what is wrong.
  }
});

// While something is not done, look again.
async function look() {
  const now = document.querySelector("#live");
  if (!("live" in now.dataset)) return;
  const focused = document.activeElement?.id, ticket = document.querySelector("#ticket")?.value;
  try {
    const page = await (await fetch("/integrations")).text();
    const next = new DOMParser().parseFromString(page, "text/html").querySelector("#live");
    if (next && next.innerHTML !== now.innerHTML && focused !== "ticket") {
      now.replaceWith(next);
      const select = document.querySelector("#ticket");
      if (select && ticket) select.value = ticket;
      if (focused) document.getElementById(focused)?.focus();
    } else if (next && !("live" in next.dataset)) {
      delete now.dataset.live;
    }
  } catch { /* The network comes back. */ }
  setTimeout(look, 1000);
}
setTimeout(look, 500);
