// METHOD URL [BODY_FILE]: prints the status, type and length of the response in a line each, and its body.
import { createReadStream } from "node:fs";
import http from "node:http";
import https from "node:https";

const [method, url, file] = process.argv.slice(2);
const headers = file ? { "Content-Type": "application/json" } : {};
const request = (url.startsWith("https:") ? https : http).request(url, { method, headers }, (response) => {
  console.log(response.statusCode);
  console.log(response.headers["content-type"] ?? "");
  console.log(response.headers["content-length"] ?? "");
  response.pipe(process.stdout);
});
if (file) createReadStream(file).pipe(request);
else request.end();
