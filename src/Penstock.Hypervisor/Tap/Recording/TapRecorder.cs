using System.Globalization;
using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>
/// Writes down a tapped guest's calls as text, one after the other with what came of it, for <c>penstock replay zpci</c>. It is called on the tap's
/// thread; what the writer throws ends the recording and nothing else.
/// </summary>
/// <remarks>
/// Lines: <c>N RPCIT req=R start=A len=L</c>, then what the guest's tables say of the range, each <see cref="TableRun"/> after a <c>T</c>;
/// <c>N MPCIFC req=R fib=HEX</c>; <c>N CLP req=HEX</c>; after each <c>= cc=C r=R [rsp=HEX]</c>; and <c># MARK name</c>. Numbers are hexadecimal but for N
/// and C.
/// </remarks>
internal sealed class TapRecorder
{
    private readonly TextWriter _writer;
    private readonly GuestMemory _memory;
    private long _count;
    private bool _broken;

    /// <summary>Starts a recording.</summary>
    /// <param name="writer">Where to; whoever made it disposes it when the tap has ended.</param>
    /// <param name="memory">The guest's memory, for its tables.</param>
    public TapRecorder(TextWriter writer, GuestMemory memory)
    {
        ArgumentNullException.ThrowIfNull(writer);
        ArgumentNullException.ThrowIfNull(memory);
        _writer = writer;
        _memory = memory;
    }

    /// <summary>Calls written so far.</summary>
    public long Count => Volatile.Read(ref _count);

    internal void Mark(string name) => Write($"# MARK {name}");

    internal void Clp(in TapCall call, ReadOnlySpan<byte> data)
    {
        int request = (int)Math.Min(call.Start, (ulong)data.Length);
        Write($"{Next()} CLP req={Convert.ToHexStringLower(data[..request])}");
        string response = request < data.Length ? $" rsp={Convert.ToHexStringLower(data[request..])}" : "";
        Write($"  = cc={call.ConditionCode} r={call.R1After:x16}{response}");
    }

    internal void Mpcifc(in TapCall call, ReadOnlySpan<byte> data)
    {
        Write($"{Next()} MPCIFC req={call.R1:x16} fib={Convert.ToHexStringLower(data)}");
        Write($"  = cc={call.ConditionCode} r={call.R1After:x16}");
    }

    internal void Rpcit(in TapCall call, IoatRegistration registration, uint conditionCode, ulong r1)
    {
        Write($"{Next()} RPCIT req={call.R1:x16} start={call.Start:x} len={call.Length:x}");
        WriteTables(registration, call.Start, call.Length);
        Write($"  = cc={conditionCode} r={r1:x16}");
    }

    private long Next() => Interlocked.Increment(ref _count);

    private void WriteTables(IoatRegistration registration, ulong start, ulong length)
    {
        if (registration.Aperture.Clamp(start, length, first: out ulong at, pages: out ulong pages) != ZpciErrorEvent.None)
        {
            return;
        }

        ulong end = at + (pages * ZpciIoTable.PageSize);
        TableRun? run = null;
        while (at != end)
        {
            // One page, or all that one entry of a higher table says.
            IoWalk walk = IoTableWalk.Walk(new GuestTableReader(_memory), registration.Iota, at);
            var next = new TableRun(walk, at + Math.Min(walk.Length, end - at) - 1);
            if (run is not { } before)
            {
                run = next;
            }
            else if (before.TryJoin(next, out TableRun both))
            {
                run = both;
            }
            else
            {
                Write($"  T {before}");
                run = next;
            }

            at = next.Last + 1;
        }

        if (run is { } final)
        {
            Write($"  T {final}");
        }
    }

    private void Write(FormattableString line)
    {
        if (_broken)
        {
            return;
        }

        try
        {
            _writer.Write(line.ToString(CultureInfo.InvariantCulture));
            _writer.Write('\n');
        }
        catch (Exception)
        {
            // A full disk must not disturb a guest; the recording ends before this line.
            _broken = true;
        }
    }
}
