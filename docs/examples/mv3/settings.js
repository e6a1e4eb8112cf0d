// What the extension is built with: which data set, from where, and whom to believe.
export const settings = {
  dataset: 'phishing',
  // Best first; none of them is trusted.
  sources: ['https://edge.example', 'https://mirror.example'],
  // The publisher's trust root in base64: `base64 -w0 trust/1.bin`.
  trust: 'UEtTMQ…',
};
