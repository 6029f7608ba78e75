// Where models come from and where they are kept, as Hugging Face's own tools take it from the environment. In: environment
// variables and the token file. Out: the hub's address, the cache's folder, the token, and whether the network may be used.
import { UsageError } from "../errors.ts";
import { joinPath } from "./address.ts";
import { cacheHome, expanded, variable } from "./cache_home.ts";

/** How to reach the hub and its cache. */
export interface HubSettings {
  /** The hub's address without a slash at its end. */
  endpoint: string;
  /** The folder with a `models--org--name` for each model. */
  cacheDir: string;
  /** The access token, sent to the hub and to nobody else; an empty one is none. */
  token?: string;
  /** Whether only the cache may be used. */
  offline: boolean;
}

const isOn = (text: string | undefined) => /^(1|on|yes|true)$/i.test(text ?? "");

/** Hugging Face's own folder, with the cache and the token in it. */
function hubHome(): string {
  const named = variable("HF_HOME");
  if (named !== undefined) return expanded(named);
  return joinPath(cacheHome(), "huggingface");
}

function cacheFolder(): string {
  const named = variable("HF_HUB_CACHE") ?? variable("HUGGINGFACE_HUB_CACHE");
  return named === undefined ? joinPath(hubHome(), "hub") : expanded(named);
}

function token(): string | undefined {
  if (isOn(variable("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) return undefined;
  const given = variable("HF_TOKEN") ?? variable("HUGGING_FACE_HUB_TOKEN");
  if (given !== undefined) return given;
  try {
    const path = variable("HF_TOKEN_PATH");
    return Deno.readTextFileSync(path ? expanded(path) : joinPath(hubHome(), "token")).trim() || undefined;
  } catch {
    return undefined; // most people have none, and need none
  }
}

/** The hub's address: HF_ENDPOINT, or Hugging Face's own. */
export function hubEndpoint(given = variable("HF_ENDPOINT")): string {
  const endpoint = (given ?? "https://huggingface.co").replace(/\/+$/, "");
  if (/^https?:\/\//i.test(endpoint) && URL.canParse(endpoint)) return endpoint;
  throw new UsageError(`Cannot use ${endpoint} as a hub as HF_ENDPOINT must be an http(s) URL`);
}

/**
 * Reads the settings from the environment; what is given goes before it.
 *
 * @throws {UsageError} when the environment names no folder, or an address that is none.
 * @example
 * ```ts
 * import { hubSettings } from "./hub_settings.ts";
 * const { cacheDir } = hubSettings({ cacheDir: "/srv/models", offline: true });
 * console.assert(cacheDir === "/srv/models");
 * ```
 */
export function hubSettings(given: Partial<HubSettings> = {}): HubSettings {
  return {
    endpoint: hubEndpoint(given.endpoint),
    cacheDir: given.cacheDir ?? cacheFolder(),
    token: (given.token ?? token()) || undefined,
    offline: given.offline ?? isOn(variable("HF_HUB_OFFLINE")),
  };
}
