"use strict";
/* Plays the clips of a comparison in step. Nothing is fetched: each clip is in its player's own address. */
(() => {
  /* Seconds by which a player may be off before it is put right at once; below, its speed is changed a little. */
  const jumpAt = (clip) => Math.max(1 / clip.rate, 0.04);

  function bytesOf(address) {
    const text = atob(address.slice(address.indexOf(",") + 1));
    const bytes = new Uint8Array(text.length);
    for (let place = 0; place < text.length; place += 1) bytes[place] = text.charCodeAt(place);
    return bytes;
  }

  /* Give a player the same bytes under an address in which browsers can seek, and the link the file itself. */
  function unpack(article) {
    const video = article.querySelector("video");
    if (!video) return null;
    const type = video.src.slice(5, video.src.indexOf(";"));
    const url = URL.createObjectURL(new Blob([bytesOf(video.src)], { type }));
    video.src = url;
    video.controls = false;
    video.preload = "auto";
    const link = article.querySelector(".save");
    link.href = url;
    link.hidden = false;
    const sound = article.querySelector(".sound");
    if (sound) {
      sound.hidden = false;
      sound.addEventListener("click", () => {
        video.muted = !video.muted;
        sound.setAttribute("aria-pressed", String(!video.muted));
      });
    }
    const rate = Number(video.dataset.frameRate);
    const frames = Number(video.dataset.frames);
    return { video, rate, frames, length: frames / rate };
  }

  function player(section) {
    const clips = [...section.querySelectorAll("article")].map(unpack).filter(Boolean);
    const controls = section.querySelector(".controls");
    if (!controls || clips.length === 0) return null;
    const find = (name) => controls.querySelector(name);
    const [play, seek, time, speed, loop] = [".play", ".seek", ".time", ".speed", ".loop"].map(find);
    const length = Math.max(...clips.map((clip) => clip.length));
    const rate = Math.max(...clips.map((clip) => clip.rate));
    let now = 0;
    let isPlaying = false;
    let last = 0;

    function show() {
      seek.value = String(now / length);
      time.textContent = `${now.toFixed(2)} s`;
      play.textContent = isPlaying ? "Pause" : "Play";
    }

    /* The middle of a frame: its edges belong to it or to its neighbour, as the browser likes. */
    function place(clip) {
      const frame = Math.min(Math.floor(now * clip.rate + 1e-6), clip.frames - 1);
      clip.video.currentTime = (frame + 0.5) / clip.rate;
    }

    function hold() {
      isPlaying = false;
      for (const clip of clips) clip.video.pause();
      show();
    }

    function go(seconds) {
      now = Math.min(Math.max(seconds, 0), length);
      clips.forEach(place);
      show();
    }

    function keep(clip) {
      if (now >= clip.length - 0.5 / clip.rate) {
        if (!clip.video.paused) { clip.video.pause(); place(clip); }
        return;
      }
      if (clip.video.paused) clip.video.play().catch(() => {});
      const off = clip.video.currentTime - now;
      const wanted = Number(speed.value);
      if (Math.abs(off) > jumpAt(clip)) clip.video.currentTime = now;
      const pull = Math.min(Math.max(-2 * off, -0.1), 0.1);
      clip.video.playbackRate = wanted * (1 + (Math.abs(off) > 0.25 / clip.rate ? pull : 0));
    }

    function tick(stamp) {
      if (!isPlaying) return;
      const isWaiting = clips.some((clip) => clip.video.seeking || clip.video.readyState < 2);
      if (!isWaiting) now += Math.min((stamp - last) / 1000, 0.1) * Number(speed.value);
      last = stamp;
      if (now >= length) {
        if (!loop.checked) { now = length; hold(); return; }
        go(0);
      }
      clips.forEach(keep);
      show();
      requestAnimationFrame(tick);
    }

    function toggle() {
      if (isPlaying) { hold(); return; }
      if (now >= length - 0.5 / rate) go(0);
      isPlaying = true;
      last = performance.now();
      show();
      requestAnimationFrame(tick);
    }

    function step(by) {
      hold();
      const most = Math.round(length * rate) - 1;
      const frame = Math.min(Math.max(Math.floor(now * rate + 1e-6) + by, 0), most);
      go((frame + 0.5) / rate);
    }

    play.addEventListener("click", toggle);
    find(".back").addEventListener("click", () => step(-1));
    find(".forward").addEventListener("click", () => step(1));
    seek.addEventListener("input", () => {
      const wanted = Number(seek.value) * length; // before it is set to where the clips are
      hold();
      go(wanted);
    });
    controls.hidden = false;
    show();
    return { toggle, step };
  }

  const players = [...document.querySelectorAll("section.comparison")].map(player).filter(Boolean);
  document.addEventListener("keydown", (event) => {
    if (players.length !== 1 || event.target !== document.body) return;
    const deed = { " ": () => players[0].toggle(), ArrowLeft: () => players[0].step(-1),
      ArrowRight: () => players[0].step(1) }[event.key];
    if (deed) { event.preventDefault(); deed(); }
  });
})();
