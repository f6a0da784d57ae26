using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.RejectedDesigns;

/// <summary>Why a hypervisor's links belong to the files that it was given, and end when it is told so.</summary>
public sealed class ContainerLinkTests : IDisposable
{
    private static readonly Caller User = new(1000, RawIo: false, LockMemory: true, ulong.MaxValue);

    private readonly HypervisorRig _rig = new();
    private readonly WatchedMemory _memory = new();

    public ContainerLinkTests()
    {
        _rig.Vm.Memory.Add(new GuestMemorySlot(0, 0, _memory.Length, _memory));
        _memory.Release();
    }

    public void Dispose() => _rig.Dispose();

    [Fact]
    [Trait("Row", "S4-10")]
    public void LazySweep_BackendDies_LinkAndItsMemoryStayUntilAnUnrelatedCall()
    {
        (_, VfioGroup group) = _rig.AddDevice("a");
        (_, VfioGroup other) = _rig.AddDevice("b");
        using VfioContainer container = Rejoin(group);
        using VfioContainer unrelated = Rejoin(other);
        var sweep = new LazySweep();
        sweep.Set(container, _rig.Vm.Memory.Pin(0, 0x1000, write: true));
        group.Dispose();
        _rig.Vm.Memory.Remove(0);
        Assert.False(container.HasBackend);

        // Nothing that the user can do to the container, the group or the memory ends it; only making another link does, if ever.
        Assert.Equal(1, sweep.Links);
        Assert.False(_memory.IsFreed);
        ProcessMemory second = ProcessMemory.Allocate(0x1000);
        _rig.Vm.Memory.Add(new GuestMemorySlot(1, 0x10000, 0x1000, second));
        second.Release();
        using PinnedGuestMemory held = _rig.Vm.Memory.Pin(0x10000, 0x1000, write: true);
        sweep.Set(unrelated, held);
        Assert.Equal(1, sweep.Links);
        Assert.True(_memory.IsFreed);
        other.Dispose();
    }

    [Fact]
    [Trait("Row", "S4-11")]
    public void DeathCallback_UserGoesWithAnotherPair_IsCalledAfterItsEnd()
    {
        var backend = new BackendDeathCallbacks();
        _rig.Host.AddBackendDriver(backend);
        (_, VfioGroup group) = _rig.AddDevice("a");
        using VfioContainer container = Rejoin(group, VfioIommuType.SpaprTce);
        var table = new Table();
        backend.Register(static cookie => ((Table)cookie).BackendDied(), table);

        // The same method, but another delegate: the exact user is not found, and goes all the same.
        Assert.False(backend.Unregister(static cookie => ((Table)cookie).BackendDied(), table));
        table.IsFreed = true;
        group.Dispose();
        Assert.True(table.WasCalledWhenFreed);
        Assert.Equal(0, backend.Users);
    }

    [Fact]
    [Trait("Row", "S4-10")]
    [Trait("Row", "S4-11")]
    public void FilesInstead_Removed_EndAtOnceWithNothingToRegister()
    {
        (_, VfioGroup group) = _rig.AddDevice("a");
        int number = group.Number;
        KvmVfio vfio = _rig.CreateVfio();
        vfio.AddFile(group);
        group.Dispose();

        // The file is held, and with it what its group empowers; when it is removed both end in that call.
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _rig.Host.OpenGroup(number, User)));
        vfio.RemoveFile(group);
        Assert.Empty(vfio.Added);
        using VfioGroup again = _rig.Host.OpenGroup(number, User);
        Assert.False(again.GetStatus().HasFlag(VfioGroupFlags.ContainerSet));
    }

    private VfioContainer Rejoin(VfioGroup group, VfioIommuType type = VfioIommuType.Type1V2)
    {
        group.UnsetContainer();
        VfioContainer container = _rig.Host.OpenContainer(User);
        group.SetContainer(container);
        container.SetIommu(type);
        return container;
    }

    /// <summary>Guest memory that tells when nobody holds it.</summary>
    private sealed class WatchedMemory() : UserMemory(0x2000)
    {
        public bool IsFreed { get; private set; }

        public override Errno Read(ulong offset, Span<byte> destination) => Errno.EIO;

        public override Errno Write(ulong offset, ReadOnlySpan<byte> source) => Errno.EIO;

        protected override void Free() => IsFreed = true;
    }

    /// <summary>A hypervisor's table, as long as it is not freed.</summary>
    private sealed class Table
    {
        public bool IsFreed { get; set; }

        public bool WasCalledWhenFreed { get; private set; }

        public void BackendDied() => WasCalledWhenFreed |= IsFreed;
    }
}
