// Counts the transactions that a worker opens, and tells whoever asks on a channel.

const opened = [];
const { transaction } = IDBDatabase.prototype;
IDBDatabase.prototype.transaction = function (stores, mode = 'readonly', ...rest) {
  opened.push(mode);
  return transaction.call(this, stores, mode, ...rest);
};
const channel = new BroadcastChannel('transactions');
channel.onmessage = ({ data }) => {
  if (data === 'ask') channel.postMessage({ opened });
};
