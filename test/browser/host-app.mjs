// Plays examples/host-app: node host-app.mjs DESK ADMIN, which are the addresses of the
// app and of the vendor's admin page. On each screen and in each theme, a customer connects
// an account, runs something with it, has the vendor take the access away, sees what is
// broken, connects again, and sees what waited go on.
import { browse, expect, look, looks, visit } from "./browser.mjs";

const [desk, admin] = process.argv.slice(2);
const people = [
  { name: "Ada", account: "ada@lantern.example", first: ["1041", "mia@holm.example"], second: ["1042", "teo@brandt.example"] },
  { name: "Ben", account: "ben@nordwind.example", first: ["2007", "olu@adeyemi.example"], second: ["2008", "petra@vogel.example"] },
];

// How often somebody is in the address books.
async function held(context, email) {
  const page = await context.newPage();
  await page.goto(admin);
  const n = await page.getByRole("cell", { name: email, exact: true }).count();
  await page.close();
  return n;
}

// Goes by the connect pages and the vendor's, in the window that a button opens.
async function connect(page, button, who, name) {
  const opened = page.waitForEvent("popup");
  await page.getByRole("button", { name: button }).click();
  const popup = await opened;
  await popup.getByRole("button", { name: "Continue to Tidebook" }).waitFor();
  await look(popup, `${name}-consent`);
  await popup.getByRole("button", { name: "Continue to Tidebook" }).click();
  await popup.getByLabel(who.account).check();
  await look(popup, `${name}-vendor`);
  const closed = popup.waitForEvent("close");
  await popup.getByRole("button", { name: "Allow" }).click();
  await closed; // By itself.
  await page.getByText(/^The account is connected/).waitFor();
}

async function run(page, ticket) {
  await page.getByRole("combobox", { name: "Ticket" }).selectOption(ticket);
  await page.getByRole("button", { name: "Run now" }).click();
}

const row = (page, ticket) => page.getByRole("row").filter({ hasText: `Ticket ${ticket}` }).first();

async function play(browser, screen, who) {
  const { context, said } = await visit(browser, screen);
  const name = (what) => `${screen.name}-${what}`;
  const page = await context.newPage();
  await page.goto(desk);
  await look(page, name("1-sign-in"));
  await page.getByRole("button", { name: who.name }).click();
  await page.getByText("Not connected").waitFor();
  await look(page, name("2-nothing-yet"));
  const before = [await held(context, who.first[1]), await held(context, who.second[1])];

  await connect(page, "Connect Tidebook", who, name("3-connect"));
  await page.getByText(who.account).waitFor();
  await run(page, who.first[0]);
  await row(page, who.first[0]).getByText("Succeeded").waitFor();
  await look(page, name("4-succeeded"));
  expect(await held(context, who.first[1]), before[0] + 1, "contacts of the first run");

  const vendor = await context.newPage();
  await vendor.goto(admin);
  await look(vendor, name("5-vendor-admin"));
  await vendor.getByRole("button", { name: `Take its access away from ${who.account}` }).click();
  await vendor.close();
  await run(page, who.second[0]);
  await page.getByText("Waiting for a reconnect").waitFor();
  await page.getByText(/^Broken/).first().waitFor();
  await page.locator(".notice.bad").first().waitFor();
  await look(page, name("6-broken"));
  await page.getByRole("row").filter({ hasText: "Waiting for a reconnect" }).first().getByRole("link").click();
  await page.getByRole("heading", { level: 1 }).waitFor();
  await look(page, name("7-waiting"));
  await page.goBack();

  await connect(page, "Reconnect Tidebook", who, name("8-reconnect"));
  await row(page, who.second[0]).getByText("Succeeded").waitFor(); // By itself.
  await look(page, name("9-goes-on"));
  expect(await held(context, who.second[1]), before[1] + 1, "contacts of the run that waited");
  expect(await page.getByText(/^Broken/).count(), 0, "what is broken after the reconnect");
  await row(page, who.second[0]).getByRole("link").click();
  await page.getByText("What it was given").waitFor();
  await look(page, name("10-execution"));
  await page.goto(`${desk}/integrations`);
  await page.getByRole("button", { name: "Disconnect Tidebook" }).click();
  await page.getByText("Not connected").waitFor();
  expect(said, [], "what browsers complain of");
  await context.close();
}

// The same without JavaScript: redirects lead there and back.
async function plain(browser, who) {
  const { context } = await visit(browser, looks[0], { javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(desk);
  await page.getByRole("button", { name: who.name }).click();
  await page.getByRole("button", { name: "Connect Tidebook" }).click();
  await page.getByRole("button", { name: "Continue to Tidebook" }).click();
  await page.getByLabel(who.account).check();
  await page.getByRole("button", { name: "Allow" }).click();
  await page.getByRole("link", { name: "Back to Harbor Desk" }).click();
  await page.getByText("The account is connected.").waitFor();
  await page.getByRole("button", { name: "Disconnect Tidebook" }).click();
  await page.getByText("Not connected").waitFor();
  await context.close();
}

await browse(async (browser) => {
  for (const [i, screen] of looks.entries()) {
    await play(browser, screen, people[(i + (i >> 1)) % 2]); // Both customers, on both screens.
  }
  await plain(browser, people[0]);
});
