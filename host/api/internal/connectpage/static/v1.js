// Opens the connect flow from a host app's page:
//
//   <script src="https://YOUR-COFFERDAM/connect/v1.js"></script>
//   button.onclick = async () => {
//     // Your server creates the session, and answers with its url.
//     const url = fetch("/integrations/connect", { method: "POST" }).then((r) => r.json()).then((s) => s.url);
//     const result = await CofferdamConnect.open(url); // { status, session, connection }
//     if (result.status === "done") location.reload();
//   };
//
// open(url, options) takes the url, or a promise of it, and is called from a click, or the
// browser opens no window. Options: mode, "popup" (the default), "iframe" (in container,
// an element) or "redirect"; onEvent, which is told { type, session, connection, state }
// for each of ready, step, success, error, cancel and close. The result's status is done,
// cancelled, expired or closed. Believe your own server, not this: it asks Cofferdam what
// became of the session.
(() => {
  "use strict";

  const open = (url, options = {}) => {
    const mode = options.mode || "popup";
    let other, frame;
    if (mode === "popup") {
      const left = Math.max(0, window.screenX + (window.outerWidth - 520) / 2);
      const top = Math.max(0, window.screenY + (window.outerHeight - 760) / 3);
      other = window.open("", "_blank", `popup,width=520,height=760,left=${left},top=${top}`);
    } else if (mode === "iframe") {
      frame = document.createElement("iframe");
      frame.title = options.title || "Connect an account";
      frame.style.cssText = "width:100%;height:100%;min-height:640px;border:0";
      (options.container || document.body).append(frame);
    }
    return Promise.resolve(url).then((link) => new Promise((resolve) => {
      if (mode === "redirect" || mode === "popup" && !other) { // A browser may open no windows.
        location.assign(link);
        return;
      }
      const from = new URL(link, location.href).origin;
      if (frame) { frame.src = link; other = frame.contentWindow; } else other.location.replace(link);

      let left = false, gone = 0, timer;
      const finish = (status, message) => {
        removeEventListener("message", hear);
        clearTimeout(timer);
        if (frame) frame.remove();
        resolve({ status, session: message.session, connection: message.connection });
      };
      const hear = (event) => {
        const message = event.data;
        // The page of another session may be open at the same origin.
        if (event.origin !== from || event.source !== other || !message || message.source !== "cofferdam.connect") return;
        if (message.type === "leaving") left = true;
        else if (options.onEvent) options.onEvent(message);
        if (message.type === "success") finish("done", message);
        if (message.type === "cancel") finish("cancelled", message);
        if (message.type === "error" && message.state === "expired") finish("expired", message);
      };
      addEventListener("message", hear);

      // Some providers cut the tie between their page and the one that opened it: then the
      // window looks closed and tells nothing, and only the session says what comes of it.
      const look = async () => {
        if (frame ? !frame.isConnected : other.closed) {
          if (++gone === 1 && options.onEvent) options.onEvent({ type: "close" });
          const now = await fetch(`${link}/status`).then((r) => r.json()).catch(() => ({}));
          if (["done", "cancelled", "expired"].includes(now.state)) return finish(now.state, now);
          if (!left && gone > 1 || frame || gone > 300) return finish("closed", now); // 10 minutes: what a consent may take.
        }
        timer = setTimeout(look, gone ? 2000 : 500);
      };
      timer = setTimeout(look, 500);
    }), (failure) => {
      if (other) other.close();
      if (frame) frame.remove();
      throw failure;
    });
  };

  window.CofferdamConnect = { open };
})();
