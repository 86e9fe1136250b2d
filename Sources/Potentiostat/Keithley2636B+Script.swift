/// The script that is resident in a 2600B: it measures, holds the limits of the cell, and opens the output when its host
/// has gone silent.
///
/// Written in what Lua 5.0 (the instrument's, from memory of the manual) and Lua 5.1 share: no `#`, no `%`, no `...`.
/// It prints only when it is asked to, with a command interface trigger (`*TRG`, or the TRIGGER message of USB488): a
/// script that prints into a full output queue stands still, and would then hold nothing. The same trigger is the host's
/// sign of life.
///
/// - `insitud_use(channel, lineIn, lineOut)`: from now on this channel; 0 for no digital line.
/// - `insitud_run(level, step, period, silence, lowestV, highestV, lowestI, highestI)`: goes to a voltage in steps, or
///   measures under a current that is set, until `abort`, a limit, or silence. Prints a line `B` when it has begun.
/// - `insitud_rest(number)`: prints the rows after that number again, for a host that has lost some.
///
/// A row is `R,number,time,current,voltage,flags`: seconds of the instrument's own timer at the end of the reading; flags
/// 1 the source is at its limit, 2 beyond a limit of the cell, so that the output was opened, 4 output off, 8 on the way
/// to the voltage. An answer ends with `T,time,rows left,output,why`: `limit`, `silent` or `off` say why the output is
/// open.
enum ResidentScript {
  static let name = "insitud"
  /// Rows that the instrument keeps, and rows of one answer.
  static let rowsKept = 2000
  static let rowsPerAnswer = 50

  static let text = """
    local smu, lineIn, lineOut
    local rows, last, told, why = {}, 0, 0, ""

    function insitud_use(channel, inward, outward)
      smu, lineIn, lineOut = channel, inward, outward
      rows, last, told, why = {}, 0, 0, ""
    end

    local function open(reason)
      smu.source.offmode = smu.OUTPUT_HIGH_Z
      smu.source.output = smu.OUTPUT_OFF
      why = reason
    end

    local function tell()
      local text = ""
      local most = told + \(rowsPerAnswer)
      while told < last and told < most do
        told = told + 1
        text = text .. rows[told] .. "\\n"
      end
      print(text .. string.format("T,%.6f,%d,%d,%s", timer.measure.t(), last - told, smu.source.output, why))
    end

    function insitud_rest(number)
      told = number
      if told < last - \(rowsKept) then told = last - \(rowsKept) end
      if told > last then told = last end
      tell()
    end

    function insitud_run(level, step, period, silence, lowestV, highestV, lowestI, highestI)
      local sourcesV = smu.source.func == smu.OUTPUT_DCVOLTS
      local present = smu.source.levelv
      local life = timer.measure.t()
      local due = life
      trigger.clear()
      why = ""
      told = last
      print(string.format("B,%.6f", life))
      while true do
        local ramping = 0
        if sourcesV and present ~= level then
          local away = level - present
          if away > step then
            present = present + step
            ramping = 8
          elseif away < 0 - step then
            present = present - step
            ramping = 8
          else
            present = level
          end
          smu.source.levelv = present
        end
        local i, v = smu.measure.iv()
        local now = timer.measure.t()
        local flags = ramping
        if smu.source.compliance then flags = flags + 1 end
        if v < lowestV or v > highestV or i < lowestI or i > highestI then
          open("limit")
          flags = flags + 2
        end
        if smu.source.output ~= smu.OUTPUT_ON then
          if why == "" then open("off") end
          flags = flags + 4
        end
        last = last + 1
        rows[last] = string.format("R,%d,%.6f,%.7e,%.7e,%d", last, now, i, v, flags)
        rows[last - \(rowsKept)] = nil
        if told < last - \(rowsKept) then told = last - \(rowsKept) end
        if lineOut > 0 then digio.trigger[lineOut].assert() end
        due = due + period
        if due < now or ramping > 0 then due = now end
        local waits = true
        while waits do
          now = timer.measure.t()
          local pause = due - now
          if pause > 0.02 then pause = 0.02 end
          if pause < 0 then pause = 0 end
          if why ~= "" then pause = 0.02 end
          if lineIn > 0 and why == "" then pause = 0 end
          if trigger.wait(pause) then
            life = timer.measure.t()
            tell()
            if why ~= "" and told == last then return end
          end
          now = timer.measure.t()
          if now - life > silence then
            if why == "" then open("silent") end
            return
          end
          if why == "" then
            if lineIn > 0 then
              waits = ramping == 0 and not digio.trigger[lineIn].wait(0.001)
            else
              waits = now < due
            end
          end
        end
      end
    end
    """
}
