using Penstock.Interop;
using Penstock.Specs.Iommufd;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests.Iommufd;

/// <summary>What the books of an iommufd need, and what happens when there is none of it or the caller is gone.</summary>
public sealed class IommufdMemoryTests
{
    private const ulong Page = IommufdRig.Page;
    private const ulong Iova = 0x100_0000;

    /// <summary>Each prepares a context and gives what is to fail.</summary>
    private static readonly Dictionary<string, Func<IommufdRig, Action>> Calls = new()
    {
        ["map"] = static rig =>
        {
            (_, Ioas ioas) = rig.Attach();
            return () => ioas.MapAddress(IommufdRig.Buffer, 4 * Page, DmaAccess.ReadWrite, Iova);
        },
        ["map nowhere attached"] = static rig =>
        {
            Ioas ioas = rig.Context.AllocateIoas();
            return () => ioas.MapAddress(IommufdRig.Buffer, 4 * Page, DmaAccess.ReadWrite);
        },
        ["map file"] = static rig =>
        {
            (_, Ioas ioas) = rig.Attach();
            return () =>
            {
                using MemoryFile file = MemoryFile.Create("test", 2 * Page);
                ioas.MapFile(file.Descriptor, 0, 2 * Page, DmaAccess.ReadWrite, Iova);
            };
        },
        ["copy"] = static rig =>
        {
            Ioas source = rig.Context.AllocateIoas();
            source.MapAddress(IommufdRig.Buffer, Page, DmaAccess.ReadWrite, Iova);
            source.MapAddress(IommufdRig.Buffer + (8 * Page), Page, DmaAccess.ReadWrite, Iova + Page);
            (_, Ioas ioas) = rig.Attach();
            return () => ioas.Copy(source, Iova, 2 * Page, DmaAccess.Read, 0);
        },
        ["attach"] = static rig =>
        {
            Ioas ioas = rig.Context.AllocateIoas();
            ioas.MapAddress(IommufdRig.Buffer, Page, DmaAccess.ReadWrite, Iova);
            ioas.MapAddress(IommufdRig.Buffer + Page, Page, DmaAccess.ReadWrite, Iova + (4 * Page));
            VfioCdevFile file = rig.Bind();
            return () => file.Attach(ioas.Id);
        },
        ["bind"] = static rig =>
        {
            VfioCdevFile file = rig.Rig.Host.OpenCdev(rig.Rig.Device.Name, Rig.User);
            rig.Opened.Add(file);
            return () => file.Bind(rig.Context);
        },
        ["access"] = static rig =>
        {
            Ioas ioas = rig.Context.AllocateIoas();
            ioas.MapAddress(IommufdRig.Buffer, 4 * Page, DmaAccess.ReadWrite, Iova);
            return () =>
            {
                using IommufdAccess access = rig.Context.CreateAccess(new Pinner());
                access.Attach(ioas.Id);
                Errno errno = access.Pin(Iova, 4 * Page, DmaAccess.ReadWrite, new PinnedPage[4]);
                if (errno != Errno.None)
                {
                    throw new VfioException(errno, "pinning", "it was refused");
                }

                Assert.Equal(Errno.None, access.Unpin(Iova, 4 * Page));
            };
        },
        ["container map"] = static rig =>
        {
            rig.Context.CompatIoas = rig.Context.AllocateIoas();
            return () => rig.Context.Ioctl((uint)VfioContainerRequest.MapDma, Words(32, 3, (uint)(IommufdRig.Buffer & uint.MaxValue), (uint)(IommufdRig.Buffer >> 32), 0x1000, 0, 0x2000, 0));
        },
    };

    public static TheoryData<string> Names => [.. Calls.Keys];

    [Theory]
    [Trait("Row", "A39")]
    [MemberData(nameof(Names))]
    public void Call_EachAllocationFailsInTurn_CleanErrorNoLeakAndTheSecondTryWorks(string name)
    {
        int failures = 0;
        for (bool failed = true; failed; failures++)
        {
            var rig = new IommufdRig();
            Action call = Calls[name](rig);
            AllocationGate gate = rig.Rig.Host.Allocations;
            string before = Books(rig);
            gate.FailAfter = failures;
            Errno errno = ErrnoOf(call);
            failed = gate.HasFailed;
            gate.Forget();
            Assert.Equal(failed ? Errno.ENOMEM : Errno.None, errno);
            if (failed)
            {
                Assert.Equal(before, Books(rig));
                Assert.Equal(Errno.None, ErrnoOf(call));
            }

            CloseAll(rig);
        }

        Assert.True(failures > 1, "no allocation was seen");
    }

    [Fact]
    [Trait("Row", "A34")]
    public void MapAndUnmap_OneGibibyte_NeedNoMoreThanSixteenPagesForTheBooks()
    {
        const ulong Large = 1ul << 30;
        const long Limit = 16 * (long)Page;
        using var rig = new IommufdRig();
        using MemoryFile file = MemoryFile.Create("large", Large);
        (VfioCdevFile device, Ioas ioas) = rig.Attach();
        using (device)
        {
            // Once before, so that what the runtime allocates for code is not counted.
            ioas.MapFile(file.Descriptor, 0, Page, DmaAccess.ReadWrite, 0);
            ioas.Unmap(0, Page);
            long before = GC.GetAllocatedBytesForCurrentThread();
            ioas.MapFile(file.Descriptor, 0, Large, DmaAccess.ReadWrite, 0);
            Assert.Equal(Large / Page, rig.Context.PinnedPages);
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 1, Limit);
            Assert.Equal(Errno.None, rig.Rig.Port.Write(Large - 1, [0x5a]));
            before = GC.GetAllocatedBytesForCurrentThread();
            Assert.Equal(Large, ioas.Unmap(0, Large));
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, Limit);
        }

        rig.Rig.Host.Mappings.Trim();
    }

    [Fact]
    [Trait("Row", "A38")]
    public void Attach_ByAForkOfTheMapper_ReachesTheMappersMemory()
    {
        using var rig = new IommufdRig();
        using var fork = new FakeUser(IommufdRig.Buffer, Page);
        rig.Memory.Span(IommufdRig.Buffer, 1)[0] = 0x11;
        fork.Span(IommufdRig.Buffer, 1)[0] = 0x22;
        Ioas ioas = rig.Context.AllocateIoas();
        ioas.MapAddress(IommufdRig.Buffer, Page, DmaAccess.ReadWrite, Iova);

        // The device file is the fork's, with another address space behind the same numbers.
        using VfioCdevFile file = rig.Rig.Host.OpenCdev(rig.Rig.Device.Name, Rig.User, fork);
        file.Bind(rig.Context);
        file.Attach(ioas.Id);
        byte[] read = new byte[1];
        Assert.Equal(Errno.None, rig.Rig.Port.Read(Iova, read));
        Assert.Equal(0x11, read[0]);
        Assert.Equal(Errno.None, rig.Rig.Port.Write(Iova, [0x33]));
        Assert.Equal(0x33, rig.Memory.Span(IommufdRig.Buffer, 1)[0]);
        Assert.Equal(0x22, fork.Span(IommufdRig.Buffer, 1)[0]);
    }

    [Fact]
    [Trait("Row", "A38")]
    public void AttachAndAccess_MapperIsGone_EFAULT()
    {
        using var rig = new IommufdRig();
        Ioas ioas = rig.Context.AllocateIoas();
        ioas.MapAddress(IommufdRig.Buffer, Page, DmaAccess.ReadWrite, Iova);
        rig.Memory.Budget = 0;
        using VfioCdevFile file = rig.Bind();
        Assert.Equal(Errno.EFAULT, ErrnoOf(() => file.Attach(ioas.Id)));
        using IommufdAccess access = rig.Context.CreateAccess(new Pinner());
        access.Attach(ioas.Id);
        Assert.Equal(Errno.EFAULT, access.Pin(Iova, Page, DmaAccess.Read, new PinnedPage[1]));
        Assert.Equal(Errno.EFAULT, access.Read(Iova, new byte[1]));
        Assert.Equal(0ul, rig.Context.PinnedPages);
        Assert.Equal(Page, ioas.Unmap(Iova, Page));
    }

    [Fact]
    [Trait("Row", "N12")]
    public void ContainerMap_MappingOfABar_IsRefused()
    {
        var device = new MappableDevice();
        using var files = new OpenFiles(device);
        var addresses = new ProcessAddressSpace();
        IommufdContext context = files.Keep(files.Host.OpenIommufd(Rig.User, addresses, files.Files));
        VfioGroup group = files.Keep(files.Host.OpenGroup(files.Group.Number, Rig.User, files: files.Files));
        group.SetContainer(context);
        VfioDeviceFile file = files.Keep(group.OpenDevice(device.Name));
        using VfioRegionMapping bar = file.Map(0, 0, 2 * Page);
        ulong address = addresses.Map(bar);
        byte[] map = Words(32, 3, (uint)address, (uint)(address >> 32), 0x1000, 0, 0x2000, 0);
        Assert.Equal(Errno.EFAULT, ErrnoOf(() => context.Ioctl((uint)VfioContainerRequest.MapDma, map)));
        Assert.Equal(0ul, context.PinnedPages);
        Assert.Equal(0ul, context.Container.UnmapDma(0, 0, all: true));
        bar.Dispose();
        device.Dispose();
    }

    private static byte[] Words(params uint[] words) => OpenFiles.Words(words);

    /// <summary>Memory that was looked up stays known as long as it is mapped, so only the end shows whether it is let go.</summary>
    private static string Books(IommufdRig rig)
    {
        rig.Rig.Host.Mappings.Trim();
        return $"{rig.Rig.Host.Ledger}; {rig.Context.PinnedPages} pinned, {rig.Context.LockedBytes} locked, "
            + $"claimed {rig.Rig.Group.IsClaimed}, {rig.Context.ObjectCount} objects, open {rig.Rig.Device.IsOpen}";
    }

    private static void CloseAll(IommufdRig rig)
    {
        // Closing the device's file ends the binding that a call made.
        rig.Opened.ForEach(static f => f.Dispose());
        rig.Context.Dispose();
        rig.Rig.Host.Mappings.Trim();
        rig.Dispose();
    }

    private sealed class Pinner : IIommufdAccessUser
    {
        public void Unmap(ulong iova, ulong length)
        {
        }
    }
}
