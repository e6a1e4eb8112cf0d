/** Every error the package throws: `code` is stable, the message is for people. */
export class PackiceError extends Error {
  /**
   * Whose fault and which: such as `trust/bad-signature`, `peer/network`, `store/quota`,
   * `misuse/unknown-collection`, `internal/worker-died`.
   */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    // An aborted call is told apart by its name everywhere on the web platform.
    this.name = code === "misuse/aborted" ? "AbortError" : "PackiceError";
    this.code = code;
  }
}

/** What an error is on its way between a worker and a page. */
export interface WireError {
  code: string;
  message: string;
}

/** The wire form of whatever was thrown; what has no code is our own fault. */
export function toWire(thrown: unknown): WireError {
  const { code, message } = (thrown ?? {}) as Partial<WireError>;
  if (typeof code === "string" && code.includes("/")) {
    return { code, message: message ?? code };
  }
  return { code: "internal/error", message: message ?? String(thrown) };
}

export function fromWire(error: WireError): PackiceError {
  return new PackiceError(error.code, error.message);
}

export function aborted(signal: AbortSignal): PackiceError {
  return new PackiceError("misuse/aborted", "the call was aborted", { cause: signal.reason });
}

export function closed(): PackiceError {
  return new PackiceError("misuse/closed", "the dataset was closed: open it again");
}
