// What a hub means by an answer that is no success. In: a status and headers. Out: one sentence that says what to do, and whether
// asking again may help.

/** What was asked, for the message. */
export interface Asked {
  id: string;
  revision: string;
  /** A file; undefined when the model itself was asked for. */
  path?: string;
  url: string;
  /** Whether a token was sent. */
  hasToken: boolean;
}

/** What a refusal means. */
export interface Refusal {
  message: string;
  /** Whether it may go well another time. */
  mayPass: boolean;
  /** How long the server asks to wait. */
  waitMs?: number;
}

/** How long a server asks to wait: `Retry-After`, or the reset of a rate limit. */
function waitOf(headers: Headers): number | undefined {
  const after = headers.get("retry-after")?.trim();
  if (after && /^\d+$/.test(after)) return Number(after) * 1000;
  const date = after ? Date.parse(after) : NaN;
  if (!Number.isNaN(date)) return Math.max(0, date - Date.now());
  const reset = /;\s*t=(\d+)/.exec(headers.get("ratelimit") ?? "")?.[1];
  // A second more, since the server cuts fractions off.
  return reset === undefined ? undefined : (Number(reset) + 1) * 1000;
}

/**
 * Puts a refusal in words.
 *
 * @param response The answer; its body is not looked at.
 * @example
 * ```ts
 * import { refusal } from "./hub_refusals.ts";
 * const asked = { id: "org/name", revision: "main", url: "https://hub/api", hasToken: false };
 * console.assert(refusal(new Response(null, { status: 503 }), asked).mayPass);
 * ```
 */
export function refusal({ status, headers }: Response, { id, revision, path, url, hasToken }: Asked): Refusal {
  const code = headers.get("x-error-code") ?? "";
  const what = path === undefined ? id : `${path} of ${id}`;
  const { origin, host } = new URL(url);
  const final = (rule: string, state: string): Refusal => ({
    message: `Cannot download ${what} as ${rule}: ${state}`,
    mayPass: false,
  });
  const answer = `${host} answers ${status}`;
  if (code === "GatedRepo") {
    const login = hasToken ? "" : ", then set HF_TOKEN";
    return final("its owners must have let you in", `${answer}; ask for access at ${origin}/${id}${login}`);
  }
  if (code === "RevisionNotFound") {
    return final(`revision "${revision}" must exist`, `${answer}, as there is no such revision`);
  }
  if (status === 401 || status === 403 || code === "RepoNotFound") {
    const advice = hasToken
      ? "check the name, and that the token may read it"
      : "check the name, or set HF_TOKEN where it is private";
    return final("it must be there and open to you", `${answer}; ${advice}`);
  }
  if (status === 404) return final("it must be there", `${answer}; check the name`);
  const mayPass = status === 408 || status === 425 || status === 429 || status >= 500;
  const state = headers.get("x-error-message")?.slice(0, 200);
  const waitMs = waitOf(headers);
  const wait = waitMs ? ` and asks to wait ${Math.ceil(waitMs / 1000)} s` : "";
  const advice = mayPass ? "; try again later" : "";
  return {
    message: `Cannot download ${what} as the hub must send it: ${answer}${state ? ` (${state})` : ""}${wait}${advice}`,
    mayPass,
    waitMs: mayPass ? waitMs : undefined,
  };
}
