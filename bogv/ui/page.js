// What the page does beyond gradio's components. The events of the tabs call `bogv.…`.
() => {
  if (window.bogv) return;

  const NARROW = matchMedia("(max-width: 760px)");
  const one = (selector) => document.querySelector(selector);
  const isShown = (element) => Boolean(element?.offsetParent);
  const openCard = () => [...document.querySelectorAll(".bogv-panel")].find(isShown);
  const scrollTo = (element) => element?.scrollIntoView({ behavior: "smooth", block: "start" });

  // Sliders: gradio notes a change by the mouse only, and of a number when the field is left.

  addEventListener("change", ({ target }) => {
    if (target.matches(".bogv-inputs :is([type=range], [type=number])"))
      target.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
  });

  // A query by paste or drop

  const searchFiles = (files, field = "#query-image") => {
    const input = one(`${field} input[type=file]`);
    if (!input || !files.length) return;
    const transfer = new DataTransfer();
    for (const file of input.multiple ? files : [files[0]]) transfer.items.add(file);
    input.files = transfer.files;
    input.dispatchEvent(new Event("change"));
  };

  const searchUrl = (url) => {
    const field = one("#query-url :is(input, textarea)");
    field.value = url;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    setTimeout(() => one("#query-fetch").click()); // gradio reads the field first
  };

  addEventListener("paste", (event) => {
    if (!isShown(one("#query-image"))) return;
    const files = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
    const url = event.clipboardData.getData("text/plain").trim();
    if (files.length) searchFiles(files);
    else if (/^https?:\/\/\S+$/i.test(url)) searchUrl(url);
    else return;
    event.preventDefault();
  });

  let isOwn = false; // a picture of this page is dragged
  addEventListener("dragstart", () => (isOwn = true), true);
  addEventListener("dragend", () => (isOwn = false), true);
  const isQuery = ({ dataTransfer }) =>
    !isOwn && ["Files", "text/uri-list"].some((type) => dataTransfer.types.includes(type));

  addEventListener("dragover", (event) => {
    if (isQuery(event)) event.preventDefault(); // else the browser opens the file instead
  });

  const drop = (event) => {
    if (!isQuery(event)) return;
    event.preventDefault();
    event.stopPropagation(); // gradio would clear the results first
    const { files } = event.dataTransfer;
    if (isShown(one("#add-files"))) return searchFiles(files, "#add-files");
    if (!isShown(one("#query-image"))) one("[role=tab]").click();
    if (files.length) searchFiles(files);
    else searchUrl(event.dataTransfer.getData("text/uri-list").split(/\r?\n/)[0]);
  };
  addEventListener("drop", drop, true);

  // Gradio's icons below the query clear it and its results, and only then ask for another one.

  const readClipboard = async () => {
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((each) => each.startsWith("image/"));
      if (type) return searchFiles([new File([await item.getType(type)], "clipboard", { type })]);
    }
  };

  addEventListener(
    "click",
    (event) => {
      const icon = event.target.closest("#query-image .source-selection button");
      const place = icon ? [...icon.parentElement.children].indexOf(icon) : -1;
      if (place !== 0 && place !== 2) return; // upload, webcam, clipboard
      event.stopPropagation();
      if (place === 0) one("#query-image input[type=file]").click();
      else readClipboard().catch(() => {}); // not allowed: as the browser has told
    },
    true,
  );

  // Cards: the focus goes to the card, and back to its picture.

  let opener = null;
  addEventListener(
    "click",
    ({ target }) => {
      opener = target.closest(".thumbnail-lg") ?? opener;
      if (target.closest(".bogv-panel [id$=-close]")) opener?.focus({ preventScroll: true });
    },
    true,
  );

  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    const card = openCard();
    if (!card) return;
    const cancel = card.querySelector("[id$=-no]");
    (isShown(cancel) ? cancel : card.querySelector("[id$=-close]")).click();
  });

  // Names for screen readers: gradio calls each picture `Thumbnail 1 of 12`.

  const namePictures = () => {
    for (const picture of document.querySelectorAll(".bogv-gallery .thumbnail-lg")) {
      const name = picture.querySelector("img")?.alt;
      if (name && picture.ariaLabel !== name) picture.ariaLabel = name;
    }
  };
  new MutationObserver(namePictures).observe(document.body, {
    subtree: true,
    childList: true,
    attributeFilter: ["alt", "aria-label"],
  });

  window.bogv = {
    /** After a click on a picture. */
    showCard() {
      const card = openCard();
      if (!card) return;
      card.tabIndex = -1;
      card.focus({ preventScroll: true });
      if (NARROW.matches) scrollTo(card); // it is above the pictures
    },
    /** After a search: on a narrow screen the results are below the query. */
    showResults() {
      if (NARROW.matches && one("#search-results .thumbnail-lg, #search-status [role=alert]"))
        scrollTo(one("#search-status"));
    },
    /** After a page of the gallery was turned. */
    showTop() {
      scrollTo(one("#gallery-status"));
    },
  };
};
