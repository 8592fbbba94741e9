// What scripts share: a headless Chromium, a check of what is accessible, screenshots.
import { readFile, mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { chromium } from "playwright-core";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const shots = process.env.SCREENSHOTS;

// The screens and themes that pages are looked at with.
export const looks = [1280, 390].flatMap((width) => ["light", "dark"].map((theme) => ({
  name: `${width}-${theme}`, width, height: width === 390 ? 844 : 800, theme,
})));

// browse runs a script with a browser, and fails the process if that throws.
export async function browse(script) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    await script(browser);
  } catch (failure) {
    console.error(failure);
    process.exitCode = 1;
    for (const page of browser.contexts().flatMap((context) => context.pages())) {
      console.error(`${page.url()}:\n${await page.locator("body").innerText().catch(String)}`); // What was there instead.
    }
  } finally {
    await browser.close();
  }
}

// visit opens a context of a look. What its pages say on the console as errors, and what
// they throw, ends up in `said`. CSP is on: axe is evaluated past it, by the debugger.
export async function visit(browser, look, options = {}) {
  const context = await browser.newContext({ viewport: { width: look.width, height: look.height }, colorScheme: look.theme, ...options });
  context.setDefaultTimeout(20_000);
  const said = [];
  context.on("console", (message) => {
    // A tab that goes elsewhere while its picture is fetched has the next page's policy refuse it.
    if (message.type() === "error" && !message.text().includes("/favicon.ico'")) said.push(`${message.location().url}: ${message.text()}`);
  });
  context.on("weberror", (error) => said.push(String(error.error())));
  return { context, said };
}

// look takes a screenshot, and has axe-core look for what keeps people out: nothing may be
// serious or critical, and nothing wider than the screen.
export async function look(page, name) {
  if (shots) {
    await mkdir(shots, { recursive: true });
    await page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });
  }
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const grave = violations.filter((v) => ["serious", "critical"].includes(v.impact));
  if (grave.length > 0) {
    throw new Error(`${name}: ${JSON.stringify(grave.map((v) => [v.id, v.help, v.nodes.map((n) => [n.html, n.failureSummary])]), null, 2)}`);
  }
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (over > 0) throw new Error(`${name}: the page is ${over} pixels wider than the screen`);
}

// expect fails with words.
export function expect(got, want, what) {
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    throw new Error(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  }
}
