// METHOD URL [BODY_FILE]: prints the status, type and length of the response in a line each, and its body.
import { readFileSync } from "node:fs";

const [method, url, file] = process.argv.slice(2);
const sent = file ? { body: readFileSync(file), headers: { "Content-Type": "application/json" } } : {};
const response = await fetch(url, { method, ...sent });
console.log(response.status);
console.log(response.headers.get("content-type") ?? "");
console.log(response.headers.get("content-length") ?? "");
console.log(await response.text());
