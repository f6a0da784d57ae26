using System.Globalization;
using System.Text;
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
/// and C. An RPCIT of QEMU's stands where QEMU begins with it: an interrupt may come before its result is seen, and do RPCITs of its own. So what comes
/// after it waits for its result.
/// </remarks>
internal sealed class TapRecorder
{
    // A result that does not come (the guest's thread went to another processor meanwhile) is not waited for longer.
    private const int MostWaiting = 64;

    // Nor is more than this kept for one: a guest can have tables of which there is no end of runs.
    private const int LongestText = 1 << 20;

    private readonly TextWriter _writer;
    private readonly GuestMemory _memory;
    private readonly Queue<Entry> _waiting = new();
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

    /// <summary>Calls so far, also those that wait for a result.</summary>
    public long Count => Volatile.Read(ref _count);

    internal void Mark(string name) => Add(new Entry($"# MARK {name}\n"));

    internal void Clp(in TapCall call, ReadOnlySpan<byte> data)
    {
        int request = (int)Math.Min(call.Start, (ulong)data.Length);
        string response = request < data.Length ? $" rsp={Convert.ToHexStringLower(data[request..])}" : "";
        Add(new Entry($"{Next()} CLP req={Convert.ToHexStringLower(data[..request])}\n{Result(call.ConditionCode, call.R1After)}{response}\n"));
    }

    internal void Mpcifc(in TapCall call, ReadOnlySpan<byte> data) =>
        Add(new Entry($"{Next()} MPCIFC req={call.R1:x16} fib={Convert.ToHexStringLower(data)}\n{Result(call.ConditionCode, call.R1After)}\n"));

    /// <summary>An RPCIT that was answered here.</summary>
    internal void Rpcit(in TapCall call, IoatRegistration registration, uint conditionCode, ulong r1) =>
        Add(new Entry($"{Rpcit(call, registration)}{Result(conditionCode, r1)}\n"));

    /// <summary>QEMU begins with an RPCIT.</summary>
    internal void Begun(int processor, in TapCall call, IoatRegistration registration) =>
        Add(new Entry(Rpcit(call, registration)) { Asked = (processor, call.R1, call.Start, call.Length) });

    /// <summary>QEMU has done it.</summary>
    internal void Done(int processor, in TapCall call)
    {
        (int, ulong, ulong, ulong) asked = (processor, call.R1, call.Start, call.Length);
        if (_waiting.LastOrDefault(e => e.Asked == asked) is { } entry)
        {
            entry.Asked = null;
            entry.Text += Result(call.ConditionCode, call.R1After) + '\n';
        }

        Write(MostWaiting);
    }

    /// <summary>Nothing comes any more: writes what waits.</summary>
    internal void End() => Write(0);

    private static string Result(uint conditionCode, ulong r1) => string.Create(CultureInfo.InvariantCulture, $"  = cc={conditionCode} r={r1:x16}");

    private long Next() => Interlocked.Increment(ref _count);

    private string Rpcit(in TapCall call, IoatRegistration registration)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{Next()} RPCIT req={call.R1:x16} start={call.Start:x} len={call.Length:x}\n");
        AppendTables(text, registration, call.Start, call.Length);
        return text.ToString();
    }

    private void AppendTables(StringBuilder text, IoatRegistration registration, ulong start, ulong length)
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
                text.Append($"  T {before}\n");
                run = next;
                if (text.Length > LongestText)
                {
                    Write(0);
                    Write(text.ToString());
                    text.Clear();
                }
            }

            at = next.Last + 1;
        }

        if (run is { } final)
        {
            text.Append($"  T {final}\n");
        }
    }

    private void Add(Entry entry)
    {
        _waiting.Enqueue(entry);
        Write(MostWaiting);
    }

    /// <summary>Writes what has its result, and what is before the last so many.</summary>
    private void Write(int waiting)
    {
        while (_waiting.TryPeek(out Entry? first) && (first.Asked is null || _waiting.Count > waiting))
        {
            _waiting.Dequeue();
            Write(first.Text);
        }
    }

    private void Write(string text)
    {
        if (_broken)
        {
            return;
        }

        try
        {
            _writer.Write(text);
        }
        catch (Exception)
        {
            // A full disk must not disturb a guest; the recording ends before this line.
            _broken = true;
        }
    }

    private sealed class Entry(string text)
    {
        public string Text { get; set; } = text;

        /// <summary>By which result it is waited for; null: it is whole.</summary>
        public (int Processor, ulong R1, ulong Start, ulong Length)? Asked { get; set; }
    }
}
