using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// The MSI-X capability and table that a guest sees of a device whose own ones are the host's: the guest's messages stay here, and what the
/// device signals becomes the guest's message. The capability's control word and the table's entries are this object's; the rest of the
/// BAR and of configuration space is the device's. May be used from any thread; signals take only the lock of the table.
/// </summary>
internal sealed class ZpciMsix : IDisposable
{
    private const int VectorControl = 12;
    private const int MessageData = 8;
    private const ulong MessagePage = ZpciIoTable.PageSize - 1;

    private readonly Lock _changes = new();
    private readonly Lock _table = new();
    private readonly VfioDeviceFile _file;
    private readonly VfioHost _host;
    private readonly Action<string> _log;
    private readonly int _capability;
    private readonly byte _tableBar;
    private readonly byte _pendingBar;
    private readonly ulong _tableOffset;
    private readonly ulong _pendingOffset;
    private readonly byte[] _entries;
    private readonly byte[] _pending;
    private ZpciMsixVector[] _vectors = [];
    private ushort _control;
    private bool _ended;

    private ZpciMsix(VfioDeviceFile file, VfioHost host, Action<string> log, int capability, ReadOnlySpan<byte> bytes)
    {
        _file = file;
        _host = host;
        _log = log;
        _capability = capability;
        _control = (ushort)(BinaryPrimitives.ReadUInt16LittleEndian(bytes[PciMsix.Control..]) & ~(PciMsix.Enable | PciMsix.FunctionMask));
        uint table = BinaryPrimitives.ReadUInt32LittleEndian(bytes[PciMsix.Table..]);
        uint pending = BinaryPrimitives.ReadUInt32LittleEndian(bytes[PciMsix.Pba..]);
        _tableBar = (byte)(table & PciMsix.BarMask);
        _tableOffset = table & ~PciMsix.BarMask;
        _pendingBar = (byte)(pending & PciMsix.BarMask);
        _pendingOffset = pending & ~PciMsix.BarMask;
        Vectors = (_control & (PciMsix.MaxVectors - 1)) + 1;
        _entries = new byte[Vectors * PciMsix.EntrySize];
        _pending = new byte[(Vectors + 63) / 64 * sizeof(ulong)];
        for (int vector = 0; vector < Vectors; vector++)
        {
            _entries[(vector * PciMsix.EntrySize) + VectorControl] = (byte)PciMsix.VectorMasked;
        }
    }

    public int Vectors { get; }

    /// <summary>The device, and through it the function that gets the messages.</summary>
    public ZpciDeviceSide? Side { get; set; }

    /// <summary>Finds the capability of a device.</summary>
    /// <returns>Null when it has none.</returns>
    public static ZpciMsix? Find(VfioDeviceFile file, VfioHost host, Action<string> log)
    {
        Span<byte> bytes = stackalloc byte[PciMsix.Length];
        int at = ReadByte(file, PciConfigOffsets.CapabilityPointer) & PciConfigOffsets.CapabilityPointerMask;
        for (int left = PciConfigOffsets.ConventionalSize / sizeof(uint); left != 0 && at >= PciConfigOffsets.HeaderEnd; left--)
        {
            if (ReadByte(file, at) == (byte)PciCapabilityId.Msix
                && at + PciMsix.Length <= PciConfigOffsets.ConventionalSize
                && file.Read(VfioRegions.Config, (ulong)at, bytes, out _) == Errno.None)
            {
                return new ZpciMsix(file, host, log, at, bytes);
            }

            at = ReadByte(file, at + 1) & PciConfigOffsets.CapabilityPointerMask;
        }

        return null;
    }

    public bool TryRead(byte space, ulong offset, Span<byte> data)
    {
        if (space == _tableBar && offset - _tableOffset < (ulong)_entries.Length)
        {
            Copy(_entries, offset - _tableOffset, data);
            return true;
        }

        if (space == _pendingBar && offset - _pendingOffset < (ulong)_pending.Length)
        {
            Copy(_pending, offset - _pendingOffset, data);
            return true;
        }

        return false;
    }

    /// <summary>Puts the control word over what was read of the device's.</summary>
    public void Overlay(byte space, ulong offset, Span<byte> data)
    {
        if (space != ZpciRegister.ConfigurationSpace)
        {
            return;
        }

        for (int i = 0; i < data.Length; i++)
        {
            int at = (int)offset + i - (_capability + PciMsix.Control);
            if (at is 0 or 1)
            {
                data[i] = (byte)(Volatile.Read(ref _control) >> (at * 8));
            }
        }
    }

    public bool TryWrite(byte space, ulong offset, ReadOnlySpan<byte> data)
    {
        if (space == _tableBar && offset - _tableOffset < (ulong)_entries.Length)
        {
            WriteTable((int)(offset - _tableOffset), data);
            return true;
        }

        if (space == _pendingBar && offset - _pendingOffset < (ulong)_pending.Length)
        {
            return true;
        }

        int high = _capability + PciMsix.Control + 1;
        if (space != ZpciRegister.ConfigurationSpace || offset > (ulong)high || offset + (ulong)data.Length <= (ulong)high)
        {
            return false;
        }

        // The rest of the capability cannot be written.
        SetControl((ushort)(data[high - (int)offset] << 8));
        return true;
    }

    /// <summary>The device signals a vector.</summary>
    public void Signalled(int vector)
    {
        if (Side?.Tie is { } tie)
        {
            tie.Interrupts?.Deliver(vector);
            return;
        }

        ulong address;
        uint data;
        lock (_table)
        {
            int at = vector * PciMsix.EntrySize;
            if ((_control & (PciMsix.Enable | PciMsix.FunctionMask)) != PciMsix.Enable || (_entries[at + VectorControl] & PciMsix.VectorMasked) != 0)
            {
                _pending[vector / 8] |= (byte)(1 << (vector % 8));
                return;
            }

            _pending[vector / 8] &= (byte)~(1 << (vector % 8));
            address = BinaryPrimitives.ReadUInt64LittleEndian(_entries.AsSpan(at));
            data = BinaryPrimitives.ReadUInt32LittleEndian(_entries.AsSpan(at + MessageData));
        }

        if (Side?.Owner is { } function && (address & ~MessagePage) == (function.Group.MsiAddress & ~MessagePage))
        {
            function.Message(data);
        }
    }

    public void Dispose()
    {
        lock (_changes)
        {
            _ended = true;
            Unbind();
        }
    }

    private static byte ReadByte(VfioDeviceFile file, int offset)
    {
        Span<byte> one = stackalloc byte[1];
        return file.Read(VfioRegions.Config, (ulong)offset, one, out _) == Errno.None ? one[0] : (byte)0;
    }

    private void Copy(byte[] from, ulong offset, Span<byte> data)
    {
        lock (_table)
        {
            // What lies behind the end of the table in the same doubleword reads as 0.
            data.Clear();
            int length = Math.Min(data.Length, from.Length - (int)offset);
            from.AsSpan((int)offset, length).CopyTo(data);
        }
    }

    private void WriteTable(int offset, ReadOnlySpan<byte> data)
    {
        lock (_table)
        {
            int length = Math.Min(data.Length, _entries.Length - offset);
            data[..length].CopyTo(_entries.AsSpan(offset));
        }

        SendPending(offset / PciMsix.EntrySize);
    }

    private void SetControl(ushort written)
    {
        lock (_changes)
        {
            const ushort Writable = PciMsix.Enable | PciMsix.FunctionMask;
            bool was = (_control & PciMsix.Enable) != 0;
            bool wanted = (written & PciMsix.Enable) != 0;
            lock (_table)
            {
                _control = (ushort)((_control & ~Writable) | (written & Writable));
            }

            if (wanted && !was && !_ended && !TryBind())
            {
                lock (_table)
                {
                    _control &= unchecked((ushort)~PciMsix.Enable);
                }
            }
            else if (!wanted && was)
            {
                Unbind();
            }
        }

        for (int vector = 0; vector < _vectors.Length; vector++)
        {
            SendPending(vector);
        }
    }

    private void SendPending(int vector)
    {
        bool isPending;
        lock (_table)
        {
            isPending = (_pending[vector / 8] & (1 << (vector % 8))) != 0;
        }

        if (isPending)
        {
            Signalled(vector);
        }
    }

    private bool TryBind()
    {
        int count = Math.Min(Vectors, Math.Max((int)(Side?.Owner?.Group.Interrupts ?? 0), 1));
        var vectors = new List<ZpciMsixVector>(count);
        try
        {
            for (int i = 0; i < count; i++)
            {
                vectors.Add(new ZpciMsixVector(this, i, _host));
            }

            _file.SetIrqs(new VfioIrqRequest
            {
                Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
                Index = VfioIrqs.Msix,
                Count = (uint)count,
                Events = vectors.Select(static v => (EventDescriptor?)v.Event).ToArray(),
            });
            _vectors = [.. vectors];
            return true;
        }
        catch (Exception e) when (e is VfioException or SystemCallException)
        {
            _log($"{_file.Name} gets no interrupts: {e.Message}");
            vectors.ForEach(static v => v.Dispose());
            return false;
        }
    }

    private void Unbind()
    {
        ZpciMsixVector[] gone = _vectors;
        _vectors = [];
        if (gone.Length == 0)
        {
            return;
        }

        try
        {
            _file.SetIrqs(new VfioIrqRequest { Flags = VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, Index = VfioIrqs.Msix });
        }
        catch (VfioException e)
        {
            // Closed by somebody else, and then nothing is bound.
            _log($"{_file.Name}: {e.Message}");
        }

        Array.ForEach(gone, static v => v.Dispose());
    }
}
