using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci;

// Doorbells: eventfds that stand for writes to registers. They are made when a user first asks and live as long as the device is open.
public partial class VfioPciCoreDevice
{
    private const int AnyWidth = sizeof(uint);

    private readonly Dictionary<int, VfioDoorbell[]> _doorbells = [];
    private readonly List<Ringing> _ringing = [];
    private int _resets;

    /// <inheritdoc/>
    protected override IReadOnlyList<VfioDoorbell> GetDoorbells(uint region)
    {
        if (region > VfioRegions.Bar5 || _config.Bar((int)region) is not { Doorbells.Count: not 0 } bar)
        {
            return [];
        }

        lock (_doorbells)
        {
            if (!_doorbells.TryGetValue(bar.Index, out VfioDoorbell[]? doorbells))
            {
                doorbells = MakeDoorbells(bar);
                _doorbells.Add(bar.Index, doorbells);
            }

            return doorbells;
        }
    }

    private VfioDoorbell[] MakeDoorbells(PciBar bar)
    {
        int before = _ringing.Count;
        try
        {
            return
            [
                .. bar.Doorbells.Select(d => new VfioDoorbell(d.Offset, d.Size, d.Match, EventOf(bar, d, before)) { IsPort = bar.Kind == PciBarKind.Io }),
            ];
        }
        catch (SystemCallException shortage)
        {
            _ringing[before..].ForEach(static r => r.Dispose());
            _ringing.RemoveRange(before, _ringing.Count - before);
            throw new VfioException(shortage.Errno, $"doorbells of bar {bar.Index} of {Name}", shortage.Message);
        }
    }

    private EventDescriptor EventOf(PciBar bar, PciDoorbell doorbell, int first)
    {
        Ringing? same = doorbell.Rung is null ? null : _ringing.Skip(first).FirstOrDefault(r => r.Rung == doorbell.Rung);
        if (same is null)
        {
            same = new Ringing(this, bar, doorbell);
            _ringing.Add(same);
        }

        return same.Event;
    }

    private void EndDoorbells()
    {
        lock (_doorbells)
        {
            _ringing.ForEach(static r => r.Dispose());
            _ringing.Clear();
            _doorbells.Clear();
        }
    }

    private void RingAwake(PciBar bar, PciDoorbell doorbell)
    {
        if (!_maySleep)
        {
            Ring(bar, doorbell);
            return;
        }

        Resume();
        try
        {
            Ring(bar, doorbell);
        }
        finally
        {
            Suspend();
        }
    }

    private void Ring(PciBar bar, PciDoorbell doorbell)
    {
        if (bar.Kind != PciBarKind.Io && !IsMemoryEnabled)
        {
            return;
        }

        if (doorbell.Rung is { } rung)
        {
            rung();
            return;
        }

        Span<byte> value = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(value, doorbell.Match ?? 0);
        _ = WriteRegion((uint)bar.Index, doorbell.Offset, value[..(doorbell.Size == 0 ? AnyWidth : doorbell.Size)], out _);
    }

    /// <summary>One eventfd. The thread that finds its signals is all devices' thread, so the strand does the work.</summary>
    private sealed class Ringing : IStrandWork, IDisposable
    {
        private readonly VfioPciCoreDevice _device;
        private readonly PciBar _bar;
        private readonly PciDoorbell _doorbell;
        private readonly EventWatch _watch;
        private volatile bool _ended;
        private int _resetsAtSignal;
        private int _posted;

        public Ringing(VfioPciCoreDevice device, PciBar bar, PciDoorbell doorbell)
        {
            _device = device;
            _bar = bar;
            _doorbell = doorbell;
            Event = EventDescriptor.Create(device._ledger);
            EventDescriptor? watched = null;
            try
            {
                watched = Event.Hold(device._ledger);
                _watch = device._events.Watch(watched, Signalled);
            }
            catch
            {
                watched?.Dispose();
                Event.Dispose();
                throw;
            }
        }

        public EventDescriptor Event { get; }

        public Action? Rung => _doorbell.Rung;

        public void Dispose()
        {
            _ended = true;
            _watch.Dispose();
            Event.Dispose();
        }

        void IStrandWork.Run()
        {
            Interlocked.Exchange(ref _posted, 0);

            // What was rung before a reset has no effect after it.
            if (_ended || Volatile.Read(ref _resetsAtSignal) != _device._resets)
            {
                return;
            }

            try
            {
                _device.RingAwake(_bar, _doorbell);
            }
            catch (Exception e)
            {
                _device.Contain(e, "doorbell", _bar.Index, _doorbell.Offset);
            }
        }

        private void Signalled(ulong signals)
        {
            Volatile.Write(ref _resetsAtSignal, Volatile.Read(ref _device._resets));
            if (Interlocked.Exchange(ref _posted, 1) == 0)
            {
                _device._strand.Post(this);
            }
        }
    }
}
