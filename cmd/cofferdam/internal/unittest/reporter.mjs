// A line of JSON for each test, named after those that it is in. What only holds other tests has no line.
export default async function* (source) {
  const files = new Map();
  for await (const { type, data } of source) {
    if (!files.has(data.file)) files.set(data.file, { names: [], had: [] });
    const { names, had } = files.get(data.file);
    if (type === "test:start") names[data.nesting] = data.name;
    if (type !== "test:pass" && type !== "test:fail") continue;
    const error = data.details?.error;
    const holds = had[data.nesting + 1] || data.details?.type === "suite";
    had.length = data.nesting;
    had[data.nesting] = true;
    if (holds && (type === "test:pass" || error?.failureType === "subtestsFailed")) continue;
    const cause = error?.cause ?? error;
    const said = cause === undefined ? "" : String(cause?.stack ?? cause);
    yield JSON.stringify({
      file: data.file ?? "",
      name: [...names.slice(0, data.nesting), data.name].join(" > "),
      ok: type === "test:pass",
      skip: data.skip !== undefined && data.skip !== false,
      ms: data.details?.duration_ms ?? 0,
      said: said.split("\n").filter((line) => !/^\s+at .*\(?node:/.test(line)).join("\n"),
    }) + "\n";
  }
}
