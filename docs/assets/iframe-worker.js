/* Pages opened from the disk may start no worker: the search then runs in a hidden frame, which is told
   the same messages. Elsewhere this does nothing. The theme looks for the name IFrameWorker. */
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class IFrameWorker extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.appendChild(this.frame)
      const inside = this.frame.contentWindow
      inside.document.open()
      inside.document.write("<body><script></" + "script></body>")
      inside.document.close()
      // What the worker says goes to whoever listens to us, and not to the page's own window.
      inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      this.ready = new Promise(loaded => {
        const script = inside.document.createElement("script")
        script.src = new URL(url, location.href).href
        script.onload = loaded
        inside.document.body.appendChild(script)
      })
    }
    postMessage(data) {
      const { contentWindow: inside } = this.frame
      this.ready.then(() => inside.dispatchEvent(new inside.MessageEvent("message", { data })))
    }
    terminate() { this.frame.remove() }
  }
}
