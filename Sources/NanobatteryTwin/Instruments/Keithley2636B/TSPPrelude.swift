/// The names that a script finds in the instrument (2600B reference manual, from memory where scpi-smu.md §4 has them
/// not). Attributes are asked of the instrument at each use; what takes time stops the script with `coroutine.yield`.
let tspPrelude = #"""
  local instrument, yield, select, type, tostring = instrument, coroutine.yield, select, type, tostring
  local setmetatable, rawset, error, loadstring = setmetatable, rawset, error, loadstring
  local concat, form = table.concat, string.format

  local function node(path, fields)
    return setmetatable(fields or {}, {
      __index = function(_, key)
        local known, value = instrument("get", path .. "." .. tostring(key))
        if known then return value end
      end,
      __newindex = function(_, key, value)
        if not instrument("set", path .. "." .. tostring(key), value) then
          error("cannot set " .. path .. "." .. tostring(key), 2)
        end
      end,
    })
  end

  local function act(what, name)
    return function(...) return instrument(what, name, ...) end
  end

  local function fill(buffer, value, time)
    if buffer.appendmode == 0 then buffer.clear() end
    buffer.n = buffer.n + 1
    buffer.readings[buffer.n] = value
    buffer.timestamps[buffer.n] = time
  end

  local function newbuffer()
    local buffer = { n = 0, appendmode = 0, collecttimestamps = 1, readings = {}, timestamps = {} }
    buffer.clear = function()
      buffer.n = 0
      buffer.readings = {}
      buffer.timestamps = {}
    end
    return buffer
  end

  local function channel(name)
    local function single(what)
      return function(buffer)
        local value, time = yield("measure", name, what)
        if buffer then fill(buffer, value, time) end
        return value
      end
    end
    return node(name, {
      OUTPUT_DCAMPS = 0, OUTPUT_DCVOLTS = 1, OUTPUT_OFF = 0, OUTPUT_ON = 1, OUTPUT_HIGH_Z = 2, OUTPUT_NORMAL = 0,
      OUTPUT_ZERO = 1, SENSE_LOCAL = 0, SENSE_REMOTE = 1, AUTORANGE_OFF = 0, AUTORANGE_ON = 1, AUTOZERO_OFF = 0,
      AUTOZERO_ONCE = 1, AUTOZERO_AUTO = 2, DELAY_OFF = 0, DELAY_AUTO = -1, ENABLE = 1, DISABLE = 0,
      FILTER_OFF = 0, FILTER_ON = 1,
      source = node(name .. ".source"),
      measure = node(name .. ".measure", {
        filter = node(name .. ".measure.filter"),
        i = single("i"), v = single("v"), r = single("r"), p = single("p"),
        iv = function(currents, voltages)
          local i, v, time = yield("measure", name, "iv")
          if currents then fill(currents, i, time) end
          if voltages then fill(voltages, v, time) end
          return i, v
        end,
      }),
      nvbuffer1 = newbuffer(), nvbuffer2 = newbuffer(), makebuffer = newbuffer,
      reset = act("reset", name), abort = function() end,
    })
  end

  for k = 1, instrument("channels") do
    local name = k == 1 and "smua" or "smub"
    _G[name] = channel(name)
  end
  localnode = node("localnode")
  format = node("format", { ASCII = 1, SREAL = 2, REAL32 = 2, REAL = 3, REAL64 = 3, DREAL = 3, LITTLEENDIAN = 1 })
  status = { measurement = { instrument = {
    smua = node("status.measurement.instrument.smua"), smub = node("status.measurement.instrument.smub") } } }
  errorqueue = node("errorqueue", { next = act("nexterror"), clear = act("clearerrors") })
  timer = { reset = act("resettimer"), measure = { t = act("timer") } }
  os = { clock = act("clock"), time = act("seconds") }
  display = node("display", { clear = function() end, settext = function() end, setcursor = function() end })
  beeper = node("beeper", { beep = function(seconds) yield("delay", seconds) end })
  trigger = { clear = act("cleartrigger"), wait = function(limit) return yield("trigger", limit) end }
  if instrument("lines") > 0 then
    digio = { TRIG_BYPASS = 0, TRIG_FALLING = 1, TRIG_RISING = 2, TRIG_EITHER = 3, TRIG_SYNCHRONOUSA = 4,
      TRIG_SYNCHRONOUS = 5, TRIG_SYNCHRONOUSM = 6, TRIG_RISINGA = 7, TRIG_RISINGM = 8, trigger = {} }
    for k = 1, instrument("lines") do
      digio.trigger[k] = node("digio.trigger." .. k, {
        assert = function() instrument("assert", k) end, clear = function() instrument("clearline", k) end,
        wait = function(limit) return yield("line", k, limit) end,
      })
    end
  end

  function reset() instrument("reset") end
  function delay(seconds) yield("delay", seconds) end
  function waitcomplete() end
  function makegetter(t, key) return function() return t[key] end end
  function makesetter(t, key) return function(value) t[key] = value end end

  local function shown(value)
    if type(value) ~= "number" then return tostring(value) end
    return form("%." .. (format.asciiprecision - 1) .. "e", value)
  end

  -- A full output queue holds the script until its host reads.
  local function put(text)
    while not instrument("room") do yield("room") end
    instrument("print", text)
  end

  function print(...)
    local words = {}
    for k = 1, select("#", ...) do words[k] = shown((select(k, ...))) end
    put(concat(words, "\t"))
  end

  function printnumber(...)
    local words = {}
    for k = 1, select("#", ...) do words[k] = shown((select(k, ...))) end
    put(concat(words, ", "))
  end

  function printbuffer(first, last, ...)
    local words = {}
    for row = first, last do
      for k = 1, select("#", ...) do
        local column = select(k, ...)
        words[#words + 1] = shown((column.readings or column)[row])
      end
    end
    put(concat(words, ", "))
  end

  script = {}
  _G["\1define"] = function()
    local name, text, runs = instrument("script")
    local run, problem = loadstring(text, "=tsp")
    if not run then return instrument("syntax", problem) end
    local made = setmetatable({ run = run, source = text, name = name }, { __call = function() return run() end })
    if name ~= "" then _G[name] = made end
    script.anonymous = made
    if runs then run() end
  end

  _G.instrument, coroutine, io, package, require, module, dofile, loadfile, debug, newproxy = nil
  """#
