using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390.Tests.Iommu;

/// <summary>The one set of rules by which a host's maps and a guest's refreshes are judged.</summary>
public sealed class ApertureTests
{
    private const ulong Page = ZpciIoTable.PageSize;

    [Fact]
    [Trait("Row", "S3-7")]
    public void JudgeAndClamp_RandomStretches_AsArithmeticWithoutBoundsSays()
    {
        var random = new Random(7);
        for (int i = 0; i < 50_000; i++)
        {
            (ulong a, ulong b) = (Some(random) & ~(Page - 1), Some(random) | (Page - 1));
            var aperture = new DmaAperture(Math.Min(a, b & ~(Page - 1)), Math.Max(a | (Page - 1), b));
            ulong start = Some(random);
            ulong length = Some(random);
            UInt128 end = (UInt128)start + length;
            bool inside = length != 0 && start >= aperture.First && end - 1 <= aperture.Last;
            bool aligned = length != 0 && ((start | length) & (Page - 1)) == 0;
            Errno expected = !aligned ? Errno.EINVAL : end - 1 > ulong.MaxValue ? Errno.EOVERFLOW : inside ? Errno.None : Errno.EINVAL;
            Assert.Equal(expected, aperture.Judge(start, length));
            Assert.Equal(aligned ? Errno.EINVAL : expected, aperture.Judge(start, length, target: 1));

            // What a host may map, a guest may have refreshed, and all of it.
            if (expected == Errno.None && end <= ulong.MaxValue)
            {
                Assert.Equal(ZpciErrorEvent.None, aperture.Clamp(start, length, out ulong first, out ulong pages));
                Assert.Equal((start, length / Page), (first, pages));
            }
        }
    }

    [Fact]
    [Trait("Row", "S3-7")]
    public void Judge_SameAnswersAsADomain()
    {
        using var domain = new ZpciDomain(new ZpciDomainSetup());
        var aperture = new DmaAperture(domain.Aperture.First, domain.Aperture.Last);
        ProcessMemory memory = ProcessMemory.Allocate(4 * Page);
        var random = new Random(8);
        for (int i = 0; i < 5_000; i++)
        {
            ulong iova = Some(random);
            ulong size = (ulong)random.Next(0, 4) * Page;
            size += random.Next(8) == 0 ? 1ul : 0;
            Errno errno = ErrnoOf(() => domain.Map(iova, size, DmaAccess.Read, memory, 0));
            Assert.Equal(aperture.Judge(iova, size), errno);
            domain.Unmap(IovaRange.All);
        }

        memory.Release();
    }

    /// <summary>Numbers near borders, of pages or not.</summary>
    private static ulong Some(Random random)
    {
        ulong near = random.Next(5) switch
        {
            0 => 0,
            1 => 1ul << 42,
            2 => 1ul << 63,
            3 => ulong.MaxValue - (8 * Page) + 1,
            _ => (ulong)random.NextInt64() << 1,
        };
        ulong value = near + ((ulong)random.Next(8) * Page);
        return random.Next(3) == 0 ? value + (ulong)random.Next(4096) : value & ~(Page - 1);
    }
}
