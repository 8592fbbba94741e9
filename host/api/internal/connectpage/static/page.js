// The page's script. Without it everything works; with it the host app's page is told
// what happens here, secrets can be looked at while they are typed, and what is waited
// for shows by itself.
(() => {
  "use strict";
  const at = document.body.dataset;
  const origins = JSON.parse(at.origins || "[]");
  const inFrame = window.parent !== window;
  const others = [inFrame ? window.parent : null, window.opener].filter(Boolean);

  // tell says something to the page that opened this one, if it is one of the session's
  // origins: a browser gives a message to no other than it is for.
  const tell = (type) => {
    const message = { source: "cofferdam.connect", type, session: at.session, state: at.state };
    if (at.connection) message.connection = at.connection;
    if (at.code) message.code = at.code;
    for (const other of others) {
      for (const origin of origins) {
        try { other.postMessage(message, origin); } catch { /* It has gone. */ }
      }
    }
  };

  const close = () => {
    tell("close");
    window.close();
  };

  if (at.session) tell(at.event);

  // The window of a consent, beside a page in a frame that goes on.
  if (!inFrame && ("window" in at || window.name === "cofferdam_consent") && at.state !== "consent") {
    close();
  } else if (!inFrame && window.opener && ["done", "cancelled", "expired"].includes(at.state)) {
    setTimeout(close, at.state === "done" ? 1200 : 0);
  } else if (!inFrame && at.back && at.state === "done") {
    setTimeout(() => location.replace(at.back), 2500);
  }

  const again = document.getElementById("again");
  if (again) again.submit();

  const heading = document.getElementById("title");
  const problems = document.getElementById("problems");
  if (problems) problems.focus();
  else if (heading && at.event !== "ready") heading.focus({ preventScroll: true });

  for (const box of document.querySelectorAll(".secret")) {
    const input = box.querySelector("input");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "peek";
    button.textContent = "Show";
    button.setAttribute("aria-controls", input.id);
    button.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-label", "Show what is entered");
    button.addEventListener("click", () => {
      const shown = input.type === "text";
      input.type = shown ? "password" : "text";
      button.textContent = shown ? "Show" : "Hide";
      button.setAttribute("aria-pressed", String(!shown));
    });
    box.append(button);
  }

  for (const form of document.forms) {
    form.addEventListener("submit", (event) => {
      if ("windowForm" in form.dataset) {
        const size = [520, Math.min(760, screen.availHeight)];
        const left = Math.max(0, (screen.availWidth - size[0]) / 2);
        if (window.open("", "cofferdam_consent", `popup,width=${size[0]},height=${size[1]},left=${left},top=60`)) {
          form.target = "cofferdam_consent";
        }
        return;
      }
      if (form.dataset.sent) {
        event.preventDefault();
        return;
      }
      form.dataset.sent = "1";
      for (const button of form.querySelectorAll(".main")) button.setAttribute("aria-disabled", "true");
    });
  }
  // Who comes back with the browser's button finds a form that works.
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  if ("poll" in at) {
    const look = async () => {
      try {
        const answer = await fetch(`${at.at}/status`, { cache: "no-store" });
        const now = answer.ok ? await answer.json() : {};
        if (now.state && (now.state !== at.state || now.state === "testing" && now.version !== Number(at.version))) {
          location.reload();
          return;
        }
      } catch { /* The network comes back. */ }
      setTimeout(look, 2000);
    };
    setTimeout(look, 1000);
  }
})();
