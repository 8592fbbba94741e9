// The pages of connect sessions: each look, the keyboard alone, without scripts, and from
// the page of a host app, in a window and in a frame.
import { browse, expect, look, looks, visit } from "./browser.mjs";

const { links, app } = JSON.parse(process.argv[2]);

const heading = async (page, text) => {
  await page.getByRole("heading", { level: 1, name: text }).waitFor();
};

await browse(async (browser) => {
  for (const l of looks) {
    const { context, said } = await visit(browser, l);
    let page = await context.newPage();
    await page.goto(links[l.name]);
    await look(page, `${l.name}-1-choose`);
    await page.getByRole("button", { name: /Example CRM/ }).click();
    await heading(page, "Connect Example CRM");
    await look(page, `${l.name}-2-fields`);
    await page.getByLabel("Access token").fill("secret");
    await page.getByLabel("Account", { exact: true }).fill("wrong");
    await page.getByRole("button", { name: "Connect" }).click();
    await page.getByRole("alert").waitFor();
    expect(await page.evaluate(() => document.activeElement.id), "problems", "what has the focus after a mistake");
    await look(page, `${l.name}-3-mistake`);

    await page.goto(links[`${l.name}-consent`]);
    await heading(page, "Connect Northwind");
    await look(page, `${l.name}-4-consent`);
    await page.route("**/authorize?*", (route) => route.continue({ url: `${route.request().url()}&refuse=access_denied` }));
    await page.getByRole("button", { name: "Continue to Northwind" }).click();
    await heading(page, "You did not agree");
    await look(page, `${l.name}-5-refused`);
    await page.unroute("**/authorize?*");
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("button", { name: "Continue to Northwind" }).click();
    await heading(page, "Which one?");
    await look(page, `${l.name}-6-select`);
    await page.getByLabel("South").check();
    await page.getByRole("button", { name: "Continue" }).click();
    await heading(page, "Northwind is connected");
    await look(page, `${l.name}-7-done`);

    page = await context.newPage();
    await page.goto(links[`${l.name}-device`]);
    await page.getByRole("button", { name: /Continue/ }).click();
    await heading(page, "Enter this code");
    await look(page, `${l.name}-8-device`);
    await page.getByRole("button", { name: "Cancel" }).click();
    await heading(page, "Nothing was connected");
    await look(page, `${l.name}-9-ended`);
    expect(said.filter((line) => !line.includes("422")), [], `what ${l.name} says on the console`);
    await context.close();
  }

  // The keyboard alone.
  {
    const { context } = await visit(browser, looks[0]);
    const page = await context.newPage();
    const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); };
    await page.goto(links.keyboard);
    await press("Tab", "Tab", "Enter");
    await heading(page, "Connect Example CRM");
    await press("Tab");
    expect(await page.evaluate(() => document.activeElement.name), "credential.token", "the first stop");
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    expect(outline, "solid", "the outline of what has the focus");
    await page.keyboard.type("secret");
    await press("Tab", "Space");
    expect(await page.getByLabel("Access token").getAttribute("type"), "text", "the field of a secret that is looked at");
    await press("Tab");
    await page.keyboard.type("a-1");
    await press("Enter");
    await heading(page, "Example CRM is connected");
    await context.close();
  }

  // No scripts.
  {
    const { context } = await visit(browser, looks[0], { javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(links.scriptless);
    await page.getByRole("button", { name: /Northwind/ }).click();
    await page.getByRole("button", { name: "Continue to Northwind" }).click();
    await heading(page, "Which one?");
    await page.getByRole("button", { name: "Continue" }).click();
    await heading(page, "Northwind is connected");
    await page.getByRole("link", { name: "Back to Lumen" }).click();
    await page.waitForURL(/connect_session=cse_.*&status=done/);
    await context.close();
  }

  // Two windows at once: what becomes of one says nothing of the other.
  {
    const { context } = await visit(browser, looks[0]);
    const page = await context.newPage();
    await page.goto(`${app}/?mode=popup`);
    const windows = [];
    for (const name of ["one", "other"]) {
      await page.evaluate((url) => { window.link = url; }, links[name]);
      const opened = context.waitForEvent("page");
      await page.getByRole("button", { name: "Connect" }).click();
      windows.push(await opened);
      await heading(windows.at(-1), "What do you want to connect?");
    }
    await windows[1].getByRole("button", { name: "Cancel" }).click();
    await page.getByText(/cancelled/).waitFor();
    await windows[0].getByRole("button", { name: /Example CRM/ }).click();
    await windows[0].getByLabel("Access token").fill("secret");
    await windows[0].getByLabel("Account", { exact: true }).fill("a-1");
    await windows[0].getByRole("button", { name: "Connect" }).click();
    await page.getByText(/done con_/).waitFor(); // Not cancelled with the other.
    await context.close();
  }

  // From the host app's page.
  for (const mode of ["popup", "iframe"]) {
    const { context } = await visit(browser, looks[0]);
    const page = await context.newPage();
    await page.goto(`${app}/?mode=${mode}`);
    await page.evaluate((url) => { window.link = url; }, links[mode]);
    let flow = page.frameLocator("iframe"), consent;
    const opened = context.waitForEvent("page");
    await page.getByRole("button", { name: "Connect" }).click();
    if (mode === "popup") flow = consent = await opened;
    await flow.getByRole("button", { name: /Northwind/ }).click();
    await flow.getByRole("button", { name: /Continue to Northwind/ }).click();
    if (mode === "iframe") consent = await opened;
    await flow.getByLabel("North").check();
    if (mode === "iframe") {
      if (!consent.isClosed()) await consent.waitForEvent("close");
      await look(page, "host-app-iframe");
    }
    await flow.getByRole("button", { name: "Continue" }).click();
    await page.getByText(/^done con_/).waitFor();
    expect((await page.textContent("#events")).split(" ").includes("success"), true, `the events of ${mode}`);
    await context.close();
  }
});
