// The server as scripts see it: JSON in, JSON out, and one kind of error.

import { words } from "./page.js";

const PATIENCE_MS = 15_000;

// `message` is fit for the payer, `code` for decisions. Status 0: there was no answer.
export class ApiError extends Error {
  constructor(status, { code, message, request_id: requestId = "" }) {
    super(message);
    this.status = status;
    this.code = code;
    this.requestId = requestId;
  }
}

export async function post(path, body) {
  const answer = await send(path, body);
  const told = await answer.json().catch(() => ({ code: "NO_JSON", message: words.network }));
  if (!answer.ok) throw new ApiError(answer.status, told);
  return told;
}

// AbortSignal.timeout() would be shorter, but phones that run WeChat are older than it.
async function send(path, body) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), PATIENCE_MS);
  const headers = {
    "Content-Type": "application/json",
    "X-Xsrftoken": document.querySelector('meta[name="xsrf"]').content,
  };
  try {
    return await fetch(path, { method: "POST", headers, body: JSON.stringify(body ?? {}), signal: abort.signal });
  } catch {
    throw new ApiError(0, { code: "NETWORK", message: words.network });
  } finally {
    clearTimeout(timer);
  }
}

// Off to WeChat and back to `next`, in place of this page: "back" then leads here and not into the authorisation.
export function authorize(next) {
  location.replace(`/oauth/authorize?next=${encodeURIComponent(next)}`);
}
