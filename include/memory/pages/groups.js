// Processes of one role on one host as one row: ten workers of one executor are alike.
const FEWEST = 3; // two are still seen at a glance
const ORDER = ["leaking", "growing (watch)", "steady"]; // the others after them

/** Groups in the order of the processes, which is that of urgency; each at the place of its first. */
export function grouped(processes) {
  const found = new Map();
  for (const one of processes) {
    const key = JSON.stringify([one.role, one.host, one.ended]);
    if (!found.has(key)) found.set(key, { key, processes: [] });
    found.get(key).processes.push(one);
  }
  return [...found.values()].flatMap((group) => (group.processes.length < FEWEST
    ? group.processes.map((one) => ({ key: `${group.key} ${one.pid} ${one.start_ticks}`, processes: [one] })) : [group]));
}

/** What is said of a group: the sum of its memory, now and over time, and the worst of its processes. */
export function sums(processes) {
  const spark = processes[0].spark.map((_, n) => processes.reduce((sum, one) => (one.spark[n] === null ? sum : (sum ?? 0) + one.spark[n]), null));
  const place = (one) => (ORDER.includes(one.verdict) ? ORDER.indexOf(one.verdict) : ORDER.length);
  const worst = processes.reduce((found, one) => (place(one) < place(found) ? one : found));
  return { spark, worst, used_bytes: processes.reduce((sum, one) => sum + one.used_bytes, 0) };
}
