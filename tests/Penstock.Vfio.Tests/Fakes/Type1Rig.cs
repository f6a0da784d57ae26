using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio.Tests.Iommufd;

namespace Penstock.Vfio.Tests;

/// <summary>A type1 container used through the kernel's structures, with a device that can pin, and the user's memory.</summary>
internal sealed class Type1Rig : IDisposable
{
    public const ulong Page = 4096;
    public const ulong Mega = 1 << 20;

    /// <summary>Where the user's memory is.</summary>
    public const ulong Base = 0x7000_0000_0000;

    public const ulong MemorySize = 16 * Mega;

    public Type1Rig(IommuUnitOptions? unit = null, VfioIommuType type = VfioIommuType.Type1V2, Caller? caller = null, bool emulated = false)
    {
        Host = new VfioHost(new VfioHostOptions { Log = line => Log.Enqueue(line) });
        Unit = Host.AddIommuUnit("iommu0", unit);
        Caller = caller ?? Rig.User;
        Device = new PinningDevice("pinner0");
        if (emulated)
        {
            IommuGroup = Host.RegisterEmulated(Device);
        }
        else
        {
            IommuGroup = Unit.CreateGroup();
            Host.Register(Device, IommuGroup);
        }

        Container = Host.OpenContainer(Caller, User);
        Group = Host.OpenGroup(IommuGroup.Number, Caller);
        Group.SetContainer(Container);
        Number(VfioContainerRequest.SetIommu, (int)type);
        File = Group.OpenDevice(Device.Name);
    }

    public System.Collections.Concurrent.ConcurrentQueue<string> Log { get; } = new();

    public VfioHost Host { get; }

    public IommuUnit Unit { get; }

    public IommuGroup IommuGroup { get; }

    public Caller Caller { get; }

    public FakeUser User { get; } = new(Base, MemorySize);

    public PinningDevice Device { get; }

    public VfioContainer Container { get; }

    public VfioGroup Group { get; }

    public VfioDeviceFile File { get; }

    /// <summary>Pages that the container's user has locked.</summary>
    public ulong Locked => LockedBy(Caller);

    public ulong LockedBy(Caller caller) => Host.LockedMemory.Charged(LockedMemoryAccount.OfProcess(caller));

    public int Number(VfioContainerRequest request, int number)
    {
        Span<byte> argument = stackalloc byte[sizeof(int)];
        MemoryMarshal.Write(argument, number);
        return Container.Ioctl((uint)request, argument);
    }

    public Errno Map(ulong iova, ulong size, uint flags = 3, ulong vaddr = Base, uint argsz = VfioDmaMap.Length, Caller? caller = null, IUserAddressSpace? memory = null)
    {
        var call = new VfioDmaMap { ArgumentSize = argsz, Flags = (VfioDmaMapFlags)flags, Iova = iova, MapSize = size, UserAddress = vaddr };
        return Ioctl(VfioContainerRequest.MapDma, ref call, caller, memory);
    }

    public (Errno Errno, ulong Size) Unmap(ulong iova, ulong size, VfioDmaUnmapFlags flags = 0, uint argsz = VfioDmaUnmap.Length, VfioBitmap bitmap = default)
    {
        var call = new VfioDmaUnmap { ArgumentSize = argsz, Flags = flags, Iova = iova, UnmapSize = size, Bitmap = bitmap };
        Errno errno = Ioctl(VfioContainerRequest.UnmapDma, ref call);
        return (errno, call.UnmapSize);
    }

    public Errno Dirty(VfioDirtyPagesFlags flags, ulong iova = 0, ulong size = 0, VfioBitmap bitmap = default, uint argsz = VfioDirtyPages.Length)
    {
        var call = new VfioDirtyPages { ArgumentSize = argsz, Flags = flags, Iova = iova, RangeSize = size, Bitmap = bitmap };
        return Ioctl(VfioContainerRequest.DirtyPages, ref call);
    }

    /// <summary>IOMMU_GET_INFO with room for everything.</summary>
    public byte[] Info(uint argsz = 1024)
    {
        byte[] answer = new byte[Math.Max(argsz, 64)];
        MemoryMarshal.Write(answer, argsz);
        Container.Ioctl((uint)VfioContainerRequest.GetInfo, answer);
        return answer;
    }

    /// <summary>The capabilities in the order of the chain: id and body.</summary>
    public static List<(ushort Id, byte[] Body)> Chain(byte[] info)
    {
        var chain = new List<(ushort, byte[])>();
        VfioIommuInfo head = MemoryMarshal.Read<VfioIommuInfo>(info);
        for (uint at = head.CapabilityOffset; at != 0;)
        {
            VfioInfoCapHeader header = MemoryMarshal.Read<VfioInfoCapHeader>(info.AsSpan((int)at));
            Assert.Equal(0u, at % 8);
            Assert.Equal(VfioIommuInfoCapability.Version, header.Version);
            chain.Add((header.Id, info[((int)at + VfioInfoCapHeader.Length)..(int)(header.Next != 0 ? header.Next : head.ArgumentSize)]));
            at = header.Next;
        }

        return chain;
    }

    /// <summary>How many mappings GET_INFO says are left.</summary>
    public uint Available() => MemoryMarshal.Read<uint>(Chain(Info()).Single(c => c.Id == VfioIommuInfoCapability.DmaAvailable).Body);

    /// <summary>Whether a device would find something at an address.</summary>
    public bool IsMapped(ulong iova)
    {
        using DmaScope scope = ((SoftwareDomain)IommuGroup.Domain!).Enter();
        return scope.TryHold(iova, 1, DmaAccess.None, out HeldMemory held) == Errno.None && Release(held);
    }

    public Errno Ioctl<T>(VfioContainerRequest request, ref T call, Caller? caller = null, IUserAddressSpace? memory = null)
        where T : unmanaged
    {
        try
        {
            Container.Ioctl((uint)request, MemoryMarshal.AsBytes(new Span<T>(ref call)), caller ?? Caller, memory ?? User);
            return Errno.None;
        }
        catch (VfioException e)
        {
            return e.Errno;
        }
    }

    /// <summary>Tears everything down; then nobody may hold, pin or be charged for anything.</summary>
    public void Dispose()
    {
        File.Dispose();
        Group.Dispose();
        Container.Dispose();
        Assert.Equal("nothing", Host.MemoryBalance);
        Assert.Equal("nothing", Host.Ledger.ToString());
        Assert.Equal(0, User.Holds);
        User.Dispose();
        Host.Dispose();
    }

    private static bool Release(HeldMemory held)
    {
        held.Dispose();
        return true;
    }
}
