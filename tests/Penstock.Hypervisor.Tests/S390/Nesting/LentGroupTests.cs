using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Nesting;

/// <summary>A function whose user maps into an ordinary container, while who watches the guest switches it to the guest's own tables and back.</summary>
public sealed class LentGroupTests : IDisposable
{
    private const ulong Page = NestingRig.Page;
    private const ulong Iova = NestingRig.Iova;
    private const ulong Data = 8ul << 20;

    // Longer than any starved machine needs for two transfers.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private readonly NestingRig _rig = new();

    public void Dispose() => _rig.Dispose();

    [Theory]
    [InlineData(NestingMode.Shadow)]
    [InlineData(NestingMode.Walked)]
    [Trait("Row", "S3-8")]
    [Trait("Row", "S3-9")]
    public void Switch_UnderLoad_FromTheBookToTheGuestsTablesAndBack_IsSeenByNoTransfer(NestingMode kind)
    {
        using var contained = new ContainedDevice(_rig.Rig.Host);
        (IommuGroup group, VfioContainer container, DmaPort port) = (contained.Group, contained.Container, contained.Port);
        INestedTranslation mode = _rig.Mode(kind);
        Assert.Equal(Errno.None, mode.Register(_rig.Tables.Registration()));

        // The same page both ways, as it is for a guest whose VMM has mapped what the tables say.
        GuestMemorySlot slot = _rig.Memory.Slots.First(s => s.Number == 1);
        container.MapDma(Iova, Page, DmaAccess.ReadWrite, slot.Memory, Data);
        _rig.Tables.Map(Iova, Data);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(Iova, Page));
        bool stop = false;
        Errno odd = Errno.None;
        long transfers = 0;
        var device = new Thread(() =>
        {
            byte[] data = new byte[512];
            while (!Volatile.Read(ref stop))
            {
                Errno errno = port.Read(Iova + 512, data);
                errno = errno == Errno.None ? port.Write(Iova + 1024, data) : errno;
                odd = errno == Errno.None ? odd : errno;
                Interlocked.Increment(ref transfers);
            }
        })
        { IsBackground = true };
        device.Start();

        // Before, between and after the switches: the second transfer from now began after now.
        void Load()
        {
            long seen = Interlocked.Read(ref transfers);
            Assert.True(SpinWait.SpinUntil(() => Interlocked.Read(ref transfers) >= seen + 2, Patience), "the device stands still");
        }

        Load();
        for (ulong i = 0; i < 40; i++)
        {
            using (GroupLending lending = group.Lend(mode.Domain))
            {
                Assert.Same(mode.Domain, group.Domain);
                Load();

                // The book goes on: nobody sees it before the group is back.
                container.MapDma(Iova + ((i + 1) * Page), Page, DmaAccess.ReadWrite, slot.Memory, Data + Page);
                Assert.Equal(Errno.EFAULT, port.Read(Iova + ((i + 1) * Page), new byte[8]));
            }

            Assert.Equal(Errno.None, port.Read(Iova + ((i + 1) * Page), new byte[8]));
            Load();
        }

        Volatile.Write(ref stop, true);
        device.Join();
        Assert.Equal(Errno.None, odd);
        contained.File.UnsetContainer();
        Assert.False(group.IsLent);
    }
}
