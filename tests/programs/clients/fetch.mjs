// METHOD URL [BODY_FILE]: prints the status, and the response's body in the next line.
import { readFileSync } from "node:fs";

const [method, url, file] = process.argv.slice(2);
const sent = file ? { body: readFileSync(file), headers: { "Content-Type": "application/json" } } : {};
const response = await fetch(url, { method, ...sent });
console.log(response.status);
console.log(await response.text());
