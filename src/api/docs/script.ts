/** The page's only script: the search field, and the forms that try an operation. A key stays in its field. */
export const SCRIPT = `
for (const { firstChild: text } of document.querySelectorAll("pre.curl")) {
  text.data = text.data.replace("http://localhost:3080", location.origin)
}
const find = document.querySelector("#find")
const operations = [...document.querySelectorAll("article")]
find.addEventListener("input", () => {
  const words = find.value.toLowerCase().split(/\\s+/)
  for (const article of operations) {
    const isFound = words.every((word) => article.dataset.words.includes(word))
    article.hidden = !isFound
    document.querySelector('nav a[href="#' + article.id + '"]').hidden = !isFound
  }
  for (const section of document.querySelectorAll("section")) {
    const isEmpty = section.querySelector("article:not([hidden])") === null
    section.hidden = isEmpty
    document.querySelector('nav [data-tag="' + section.dataset.tag + '"]').hidden = isEmpty
  }
})
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || /INPUT|TEXTAREA/.test(event.target.tagName)) return
  event.preventDefault()
  find.focus()
})
document.addEventListener("submit", async (event) => {
  event.preventDefault()
  const form = event.target
  const status = form.querySelector("output")
  const shown = form.querySelector("pre")
  let path = form.dataset.path
  const query = new URLSearchParams()
  for (const { name, value, dataset } of form.querySelectorAll("input")) {
    if (dataset.in === "path") path = path.replace("{" + name + "}", encodeURIComponent(value))
    else if (value !== "") query.set(name, value)
  }
  const body = form.querySelector("textarea")?.value
  const key = document.querySelector("#key").value
  const headers = {}
  if (body) headers["content-type"] = "application/json"
  if (key) headers.authorization = "Bearer " + key
  status.textContent = "…"
  const began = performance.now()
  try {
    const url = path + (query.size > 0 ? "?" + query : "")
    const answer = await fetch(url, { method: form.dataset.method, headers, body: body || undefined })
    const text = await answer.text()
    status.textContent = answer.status + " in " + Math.round(performance.now() - began) + " ms"
    const isJson = (answer.headers.get("content-type") ?? "").startsWith("application/json") && !/\\d{16}/.test(text)
    shown.textContent = (isJson ? JSON.stringify(JSON.parse(text), null, 2) : text).slice(0, 100000)
  } catch (error) {
    status.textContent = "no answer"
    shown.textContent = String(error)
  }
  shown.hidden = false
})
`
