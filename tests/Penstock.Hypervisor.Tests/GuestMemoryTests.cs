using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests;

public sealed class GuestMemoryTests : IDisposable
{
    private readonly HypervisorRig _rig = new();

    private GuestMemory Memory => _rig.Vm.Memory;

    public void Dispose() => _rig.Dispose();

    [Fact]
    public void ReadWrite_AcrossSlots_AndPastThem()
    {
        int changes = 0;
        Memory.Changed = () => changes++;
        Add(1, 0x2000, 0x1000);
        Add(0, 0x1000, 0x1000);
        byte[] data = [1, 2, 3, 4];
        Assert.Equal(Errno.None, Memory.Write(0x1ffe, data));
        byte[] back = new byte[4];
        Assert.Equal(Errno.None, Memory.Read(0x1ffe, back));
        Assert.Equal(data, back);
        Assert.Equal(Errno.EFAULT, Memory.Read(0x2ffe, back));
        Assert.Equal(Errno.EFAULT, Memory.Read(0xfff, back));
        Assert.Equal([0x1000ul, 0x2000ul], Memory.Slots.Select(static s => s.Address));
        Memory.Remove(1);
        Assert.Equal(Errno.EFAULT, Memory.Read(0x2000, back));
        Assert.Equal(3, changes);
    }

    [Fact]
    public void Write_ReadOnlySlot_EFAULT()
    {
        Add(0, 0, 0x1000, readOnly: true);
        Assert.Equal(Errno.EFAULT, Memory.Write(0, [1]));
        Assert.Equal(Errno.EFAULT, ErrnoOf(() => Memory.Pin(0, 16, write: true)));
        Memory.Pin(0, 16, write: false).Dispose();
    }

    [Theory]
    [InlineData(1, 0x1000, 0, Errno.EINVAL)]
    [InlineData(1, 0x1800, 0x1000, Errno.EINVAL)]
    [InlineData(1, 0x1000, 0x1800, Errno.EINVAL)]
    [InlineData(1, 0x8000, 0x10000, Errno.EINVAL)]
    [InlineData(1, 0xffff_ffff_ffff_f000, 0x2000, Errno.EINVAL)]
    [InlineData(1, 0x1000, 0x3000, Errno.EEXIST)]
    [InlineData(0, 0x8000, 0x1000, Errno.EEXIST)]
    [InlineData(1, 0xffff_ffff_ffff_f000, 0x1000, Errno.None)]
    public void Add_SlotsOutOfOrder_AreRefused(int number, ulong address, ulong length, Errno expected)
    {
        Add(0, 0x2000, 0x1000);
        ProcessMemory memory = ProcessMemory.Allocate(0x4000, _rig.Host.Ledger);
        Assert.Equal(expected, ErrnoOf(() => Memory.Add(new GuestMemorySlot(number, address, length, memory))));
        memory.Release();
    }

    [Fact]
    public void Pin_SlotGoes_StaysValidUntilDisposed()
    {
        Add(0, 0x1000, 0x2000);
        PinnedGuestMemory pinned = Memory.Pin(0x1800, 0x1000, write: true);
        Assert.NotEqual(0, pinned.HostAddress);
        Assert.Equal(Errno.EFAULT, ErrnoOf(() => Memory.Pin(0x2800, 0x1000, write: false)));
        Memory.Remove(0);
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => Memory.Remove(0)));
        Assert.Equal(Errno.None, pinned.Memory.Write(pinned.Offset, [7]));
        Assert.Equal(1, _rig.Host.Ledger.Outstanding(ResourceKind.NativeBlock));
        pinned.Dispose();
        Assert.Equal(0, _rig.Host.Ledger.Outstanding(ResourceKind.NativeBlock));
    }

    private void Add(int number, ulong address, ulong length, bool readOnly = false)
    {
        ProcessMemory memory = ProcessMemory.Allocate(length, _rig.Host.Ledger);
        Memory.Add(new GuestMemorySlot(number, address, length, memory, IsReadOnly: readOnly));
        memory.Release();
    }
}
