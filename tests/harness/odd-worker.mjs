// The package's own worker in a scope that odd.mjs has changed.

import './odd.mjs';
import '/packice/worker.js';
