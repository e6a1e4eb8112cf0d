// The package's own worker, with its transactions counted from outside.

import './count.mjs';
import '/packice/worker.js';
