using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>
/// Pages of a host, some of which the device may only read, only write, or not reach at all, with a copy of what must be in them. Each slot
/// has pages of its own, so that commands of one batch do not meet.
/// </summary>
internal sealed class HostileMemory
{
    public const int Page = 4096;
    public const int Slots = 16;
    public const int PagesOfSlot = 16;
    private const int Reserved = 512;
    private const int Lists = 2;

    private readonly NvmeRig _rig;
    private readonly byte[] _expected = new byte[Slots * PagesOfSlot * Page];
    private readonly DmaAccess?[] _access = new DmaAccess?[Slots * PagesOfSlot];
    private readonly ulong[] _lists = new ulong[Slots];

    public HostileMemory(NvmeRig rig, Random random)
    {
        _rig = rig;
        rig.Map(NvmeRig.Base, 0, Reserved * Page);
        for (int slot = 0; slot < Slots; slot++)
        {
            _lists[slot] = rig.Pages(Lists);
        }

        random.NextBytes(_expected);
        _expected.CopyTo(rig.At(First, _expected.Length));
        for (int page = 0; page < _access.Length; page++)
        {
            _access[page] = random.Next(20) switch
            {
                0 => DmaAccess.Read,
                1 => DmaAccess.Write,
                2 => null,
                _ => DmaAccess.ReadWrite,
            };
            if (_access[page] is { } access)
            {
                rig.Map(First + (ulong)(page * Page), (ulong)((Reserved + page) * Page), Page, access);
            }
        }
    }

    private static ulong First => NvmeRig.Base + (Reserved * Page);

    public ulong PageOf(int slot, int page) => First + (ulong)(((slot * PagesOfSlot) + page) * Page);

    /// <summary>Two pages for lists, which the device can always read.</summary>
    public ulong ListOf(int slot) => _lists[slot];

    public bool IsList(int slot, ulong address, int length) =>
        address >= _lists[slot] && address + (ulong)length <= _lists[slot] + (Lists * Page);

    /// <summary>What a page may be used for; null when it is not mapped, or none of this memory.</summary>
    public DmaAccess? AccessTo(ulong address) =>
        address >= First && address < First + (ulong)_expected.Length ? _access[(int)((address - First) / Page)]
        : address >= NvmeRig.Base && address < First ? DmaAccess.ReadWrite
        : null;

    /// <summary>What must be in the memory from an address on.</summary>
    public Span<byte> Expected(ulong address, int length) => _expected.AsSpan((int)(address - First), length);

    /// <summary>The host writes its own memory.</summary>
    public void Write(ulong address, ReadOnlySpan<byte> data)
    {
        data.CopyTo(_rig.At(address, data.Length));
        data.CopyTo(Expected(address, data.Length));
    }

    public Span<byte> Actual(ulong address, int length) => _rig.At(address, length);

    /// <summary>Takes what is there for right: a command that failed half way may have written its own pages.</summary>
    public void Accept(ulong address, int length)
    {
        if (address >= First)
        {
            _rig.At(address, length).CopyTo(Expected(address, length));
        }
    }

    public void VerifySlot(int slot, string after) =>
        Assert.True(Expected(PageOf(slot, 0), PagesOfSlot * Page).SequenceEqual(_rig.At(PageOf(slot, 0), PagesOfSlot * Page)), $"the memory of slot {slot} is wrong after {after}");

    public void VerifyAll(string after)
    {
        for (int slot = 0; slot < Slots; slot++)
        {
            VerifySlot(slot, after);
        }
    }

    /// <summary>Pages that the device may not write are as they were, whatever else has happened.</summary>
    public void VerifyForbidden()
    {
        for (int page = 0; page < _access.Length; page++)
        {
            if (_access[page] is null or DmaAccess.Read)
            {
                ulong address = First + (ulong)(page * Page);
                Assert.True(Expected(address, Page).SequenceEqual(_rig.At(address, Page)), $"page 0x{address:x}, which the device may not write, has changed");
            }
        }
    }
}
