namespace Penstock.Devices.Tests;

/// <summary>
/// The port accesses that Linux's gpio-pci-idio-16 makes through regmap: output ports are written from a cache that starts at 0 and never
/// read, one mask bit stands for all inputs, and the interrupt thread acknowledges before it tells.
/// </summary>
internal sealed class LinuxIdio16Driver(Idio16Slot slot)
{
    private const byte Mask = 1 << 2;
    private readonly byte[] _cache = new byte[8];
    private byte _masked;

    /// <summary>How many interrupts were this card's.</summary>
    internal int Handled { get; private set; }

    internal void Probe()
    {
        slot.Out(2, 0); // disable, before anything else
        SyncMask(Mask); // the interrupt chip starts with everything masked
        slot.Out(3, 0); // filters off
    }

    internal void RequestInterrupt() => SyncMask(0);

    internal void FreeInterrupt() => SyncMask(Mask);

    /// <summary>Sets and clears the outputs of the mask, one write for each port that it touches.</summary>
    internal void SetMultiple(ushort mask, ushort bits)
    {
        Update(0, (byte)mask, (byte)bits);
        Update(4, (byte)(mask >> 8), (byte)(bits >> 8));
    }

    /// <summary>Level of a line by Linux's number: 0-15 outputs, 16-31 inputs.</summary>
    internal bool Get(int offset)
    {
        int bit = offset % 8;
        byte port = offset switch
        {
            < 8 => _cache[0],
            < 16 => _cache[4],
            < 24 => slot.In(1),
            _ => slot.In(5),
        };
        return (port >> bit & 1) != 0;
    }

    /// <summary>The interrupt thread; runs as long as the level interrupt is asserted.</summary>
    internal void Service()
    {
        while (slot.Port.Pin)
        {
            var status = (byte)(slot.In(6) & ~_masked);
            Assert.True((status & Mask) != 0, "a level interrupt that nobody handles would hang the guest");
            slot.Out(1, status);
            Handled++;
        }
    }

    private void SyncMask(byte mask)
    {
        byte before = _masked;
        _masked = mask;
        if (before == Mask && mask != Mask)
        {
            slot.Out(1, 0);
            slot.In(2);
        }
        else if (mask == Mask)
        {
            slot.Out(2, 0);
        }
    }

    private void Update(int port, byte mask, byte bits)
    {
        var value = (byte)((_cache[port] & ~mask) | (bits & mask));
        if (mask != 0 && value != _cache[port])
        {
            _cache[port] = value;
            slot.Out((ulong)port, value);
        }
    }
}
