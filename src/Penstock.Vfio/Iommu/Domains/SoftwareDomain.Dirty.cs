using System.Numerics;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>
/// Tracking of what devices write. Meanwhile no memory can be borrowed, because nobody sees what is written through a borrowed pointer:
/// copies and holds mark the pages when they are done.
/// </content>
public sealed unsafe partial class SoftwareDomain
{
    private DirtyLog?[] _logs = [];
    private bool _tracking;

    /// <inheritdoc/>
    internal override void SetDirtyTracking(bool enable)
    {
        lock (_gate)
        {
            // SAFETY: as long as the gate is held the table is neither replaced nor freed by anybody else.
            byte* table = Writable("changing dirty tracking");
            if (!enable && !_tracking)
            {
                return;
            }

            var logs = new DirtyLog?[_memories.Length];
            var chunks = new nint[TranslationTable.ChunkCount(table)];
            for (int i = 0; enable && i < chunks.Length; i++)
            {
                foreach (ref TableEntry entry in TranslationTable.Used(TranslationTable.Chunk(table, i)))
                {
                    if (entry.Length != 0)
                    {
                        logs[entry.Memory] = NewLog(entry.Length);
                    }
                }
            }

            for (int i = 0; i < chunks.Length; i++)
            {
                byte* chunk = TranslationTable.Chunk(table, i);
                TableEntry[] entries = TranslationTable.Used(chunk).ToArray();
                foreach (ref TableEntry entry in entries.AsSpan())
                {
                    if (entry.Length == 0)
                    {
                        continue;
                    }

                    UserMemory memory = _memories[entry.Memory]!;
                    ulong offset = entry.Target - ((entry.Flags & TableEntry.Direct) != 0 ? (ulong)memory.DirectAddress : 0);
                    SetTarget(ref entry, memory, offset, direct: !enable);
                }

                chunks[i] = NewChunk(entries);
                Retire(chunk, TranslationTable.ChunkSize);
            }

            // Whoever finds an entry of the new table finds its log, too; the old logs stay for holds from before.
            _tracking = enable;
            Volatile.Write(ref _logs, logs);
            Volatile.Write(ref _table, (nint)NewDirectory(chunks));
            Retire(table, TranslationTable.DirectoryBytes(table));
            Places.WaitForOthers();
            FreeRetired();
        }
    }

    /// <inheritdoc/>
    internal override List<IovaRange> CollectDirty(IovaRange range, bool keep)
    {
        var runs = new List<IovaRange>();
        lock (_gate)
        {
            if (!_tracking || _table == 0)
            {
                throw new VfioException(Errno.EINVAL, "reading dirty pages", "dirty tracking is off; enable it first");
            }

            // SAFETY: as above.
            byte* table = (byte*)_table;
            int to = TranslationTable.ChunkOf(table, range.Last);
            for (int i = TranslationTable.ChunkOf(table, range.First); i <= to; i++)
            {
                foreach (ref TableEntry entry in TranslationTable.Used(TranslationTable.Chunk(table, i)))
                {
                    ulong last = entry.Start + (entry.Length - 1);
                    if (entry.Length != 0 && entry.Start <= range.Last && last >= range.First)
                    {
                        ulong first = Math.Max(entry.Start, range.First) - entry.Start;
                        _logs[entry.Memory]!.Collect(entry.Start, first, Math.Min(last, range.Last) - entry.Start, keep, runs);
                    }
                }
            }
        }

        return runs;
    }

    /// <inheritdoc/>
    internal override DirtyLog? LogAt(int index)
    {
        DirtyLog?[] logs = Volatile.Read(ref _logs);
        return (uint)index < (uint)logs.Length ? logs[index] : null;
    }

    private static void SetTarget(ref TableEntry entry, UserMemory memory, ulong offset, bool direct)
    {
        nint address = direct ? memory.DirectAddress : 0;
        entry.Target = (ulong)address + offset;
        entry.Flags = (entry.Flags & ~TableEntry.Direct) | (address != 0 ? TableEntry.Direct : 0);
    }

    private DirtyLog NewLog(ulong length)
    {
        int shift = BitOperations.TrailingZeroCount(PageSizes);
        return DirtyLog.CanHold(length, shift)
            ? new DirtyLog(length, shift)
            : throw new VfioException(Errno.ENOMEM, "tracking device writes", $"a mapping of 0x{length:x} bytes is too large; map it in parts");
    }

    private void Track(int index, DirtyLog log)
    {
        if (index >= _logs.Length)
        {
            DirtyLog?[] larger = new DirtyLog?[_memories.Length];
            _logs.CopyTo(larger, 0);
            larger[index] = log;
            Volatile.Write(ref _logs, larger);
        }
        else
        {
            Volatile.Write(ref _logs[index], log);
        }
    }
}
