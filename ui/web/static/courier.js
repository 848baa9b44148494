// Takes errands from scripts to Python.
import { setCourier } from '/studio/static/studio.js';

let number = 0;

export function mount({ props, trigger }) {
  setCourier((errand) => {
    number += 1; // the same errand twice is two errands
    props.value = { ...errand, number };
    trigger('errand');
  });
}
