using System.Text;
using Penstock.Hypervisor;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Cli.Replay;

/// <summary>
/// Replays the calls of a guest: what the fallback sends for each RPCIT when the guest's tables say what the recording says they did, and for
/// the ends of registrations. Calls that the recording shows to have failed have no effect.
/// </summary>
internal sealed class CallsReplay(string path, ReplayOptions options, ReplayOutput output, ReplayNotes notes) : IDmaNotifier
{
    private readonly TableRuns _runs = new();
    private readonly Dictionary<uint, ReplayedFunction> _functions = [];
    private readonly DmaBudget? _budget = options.Limit is int limit ? new DmaBudget(limit) : null;
    private readonly SortedSet<uint> _indexes = [];
    private readonly List<string> _marks = [];
    private RecordedCall? _call;
    private int _unanswered;
    private int _late;
    private bool _markReached;

    public void Run()
    {
        using var lines = new RecordedLines(path);
        bool any = false;
        while (!_markReached && lines.TryRead(out ReadOnlySpan<byte> line))
        {
            any |= Take(lines, line);
        }

        if (_markReached)
        {
            return;
        }

        EndCall(lines, answered: false, default);
        if (options.Mark is string mark)
        {
            string known = _marks.Count == 0 ? "the recording has none" : $"the recording has {string.Join(", ", _marks)}";
            throw new UsageException($"there is no mark '{mark}' in '{path}'; {known}");
        }

        if (!any)
        {
            throw new ReplayFailure($"'{path}' has no calls; record a guest's MPCIFC, RPCIT and CLP into it");
        }

        if (options.Index is uint index && !_indexes.Contains(index))
        {
            throw new UsageException($"no call in '{path}' is for the function {index:x}; {KnownFunctions()}");
        }

        if (_late != 0)
        {
            notes.Add(
                $"{_late} results come after the next call's line, as with several processors; they are taken in order and may be each other's "
                + "(the tap's own recordings have each result right below its call)");
        }

        if (_unanswered != 0)
        {
            notes.Add($"{_unanswered} calls have no result; they are taken for done");
        }
    }

    Errno IDmaNotifier.Map(ulong iova, ulong address, ulong length, bool writable)
    {
        if (options.Mark is null)
        {
            output.Map(iova, length, address, writable);
        }

        return Errno.None;
    }

    void IDmaNotifier.Unmap(ulong iova, ulong length)
    {
        if (options.Mark is null)
        {
            output.Unmap(iova, length);
        }
    }

    private string KnownFunctions() =>
        _indexes.Count == 0 ? "it has calls for none" : $"it has calls for {string.Join(", ", _indexes.Select(static i => $"{i:x}"))}";

    private bool Take(RecordedLines lines, ReadOnlySpan<byte> line)
    {
        if (line.StartsWith("# MARK "u8))
        {
            EndCall(lines, answered: false, default);
            Mark(Encoding.ASCII.GetString(line["# MARK "u8.Length..]).Trim());
            return false;
        }

        ReadOnlySpan<byte> rest = line;
        ReadOnlySpan<byte> word = RecordedText.Word(ref rest);
        if (word.IsEmpty || word[0] == (byte)'#')
        {
            return false;
        }

        if (word.SequenceEqual("T"u8))
        {
            if (_call is not { Kind: RecordedCallKind.Rpcit })
            {
                throw lines.Wrong("a run of pages (T) follows no RPCIT; each belongs below the RPCIT that it was read for");
            }

            if (!_runs.TryAdd(RecordedCall.ParseRun(lines, rest)))
            {
                throw lines.Wrong("the run of pages begins before the end of the one above; runs are ascending and do not overlap");
            }

            return false;
        }

        if (word.SequenceEqual("="u8))
        {
            RecordedResult result = RecordedCall.ParseResult(lines, rest);
            if (_call is null && _unanswered == 0)
            {
                throw lines.Wrong("a result (=) follows no call");
            }

            // With more than one processor, a call may have got its result after the next call's line; which one's it is nobody knows.
            _unanswered -= _call is null ? 1 : 0;
            _late += _call is null ? 1 : 0;
            EndCall(lines, answered: true, result);
            return false;
        }

        EndCall(lines, answered: false, default);
        _runs.Clear();
        _call = RecordedCall.Parse(lines, word, rest);
        return true;
    }

    private void Mark(string name)
    {
        _marks.Add(name);
        if (name != options.Mark)
        {
            return;
        }

        _markReached = true;
        foreach ((ulong iova, ulong address, bool canWrite) in _functions.Values.SelectMany(static f => f.Mode.Snapshot()).OrderBy(static p => p.Iova))
        {
            output.Page(iova, address, canWrite);
        }
    }

    private void EndCall(RecordedLines lines, bool answered, RecordedResult result)
    {
        if (_call is not { } call)
        {
            return;
        }

        _call = null;
        _unanswered += answered ? 0 : 1;
        uint index = call.Handle & ZpciHandle.IndexMask;
        if (call.Kind == RecordedCallKind.OtherClp)
        {
            return;
        }

        _indexes.Add(index);
        if (options.Index is uint wanted && wanted != index)
        {
            return;
        }

        if (!_functions.TryGetValue(index, out ReplayedFunction? function))
        {
            FallbackOptions rules = options.Corrected ? new FallbackOptions() : FallbackOptions.Qemu;
            function = new ReplayedFunction(new FallbackRefresh<TableRuns>(_runs, this, _budget, rules));
            _functions.Add(index, function);
        }

        switch (call.Kind)
        {
            case RecordedCallKind.Rpcit:
                Refresh(lines, call, function, result);
                break;
            case RecordedCallKind.Mpcifc:
                Modify(call, function, result);
                break;
            case RecordedCallKind.SetFunction:
                if (call.Operation == (byte)ZpciSetOperation.Disable && result.IsDone && result.Response is 0 or (ushort)ZpciClpResponse.Ok)
                {
                    function.Deregister();
                }

                break;
        }
    }

    private void Modify(in RecordedCall call, ReplayedFunction function, RecordedResult result)
    {
        switch ((ZpciModifyOperation)call.Operation)
        {
            case ZpciModifyOperation.RegisterIoat when result.IsDone:
                Register(call, function);
                break;
            case ZpciModifyOperation.DeregisterIoat when result.IsDone:
                if (!function.IsRegistered)
                {
                    notes.Add($"line {call.Line} ends a registration from before the recording; its unmap is not printed", "such ends");
                }

                function.Deregister();
                break;
            case ZpciModifyOperation.ReregisterIoat:
                // The old registration is gone even when the new one failed for lack of resources.
                if (result.IsDone || result.Status == ZpciStatus.InsufficientResources)
                {
                    function.Deregister();
                }

                if (result.IsDone)
                {
                    Register(call, function);
                }

                break;
        }
    }

    private void Register(in RecordedCall call, ReplayedFunction function)
    {
        if (function.IsRegistered)
        {
            notes.Add($"line {call.Line} registers anew: the registration before it ended unseen (reset, slot power), so its unmap is printed here", "such registrations");
            function.Deregister();
        }

        var registration = new IoatRegistration(new Iota(call.Fib.Iota), DmaAperture.Of(call.Fib));
        if (!registration.Iota.IsTranslating)
        {
            notes.Add($"line {call.Line} registers without translation (iota 0x{call.Fib.Iota:x}); what the VMM maps for that is not in a recording of calls", "such registrations without translation");
            return;
        }

        function.Register(registration);
    }

    private void Refresh(RecordedLines lines, in RecordedCall call, ReplayedFunction function, RecordedResult result)
    {
        bool walked = result.IsDone
            || (result.Code == ZpciConditionCode.Error && result.Status is ZpciStatus.InsufficientResources or ZpciStatus.FunctionInError);
        if (!walked || (!function.IsRegistered && !result.IsDone))
        {
            return;
        }

        if (!function.IsRegistered)
        {
            throw lines.Wrong(
                $"the RPCIT in line {call.Line} was carried out for the function {call.Handle:x8}, whose registration (MPCIFC 4) is not in the recording; "
                + "record from the start of the guest");
        }

        RpcitAnswer answer = function.Mode.Refresh(call.Start, call.Length);
        if (result.IsDone && _runs.Missing is ulong missing)
        {
            throw lines.Wrong($"the RPCIT in line {call.Line} has no run of pages (T) for I/O address {missing:x}; runs must cover the refreshed range");
        }

        if (answer.ConditionCode != result.Code || answer.Status != result.Status)
        {
            notes.Add(
                $"line {call.Line}: the recording says cc={(byte)result.Code} status {(byte)result.Status}, the fallback says "
                + $"cc={(byte)answer.ConditionCode} status {(byte)answer.Status}",
                "different answers");
        }
    }
}
