using System.Runtime.InteropServices;
using Penstock.Interop;

namespace Penstock.Vfio.Tests.Iommufd;

/// <summary>A first stage of one mapping, whose data are an address and a memory; invalidations name a slot of eight.</summary>
internal sealed class MockNesting : NestedTranslation
{
    public const uint Type = 0xdead;
    public const uint InvalidationType = 0xbeef;

    public List<uint> Invalidated { get; } = [];

    public int Alive { get; private set; }

    public override uint DataType => Type;

    public override int MinimumDataLength => 8;

    public override NestedDomain Create(PagingHwPagetable parent, ReadOnlySpan<byte> data)
    {
        Alive++;
        return new Stage(this, parent, MemoryMarshal.Read<ulong>(data));
    }

    private sealed class Stage : NestedDomain
    {
        private readonly MockNesting _owner;
        private readonly TranslatingDomain _domain;
        private readonly ProcessMemory _memory = ProcessMemory.Allocate(IommufdRig.Page);

        public Stage(MockNesting owner, PagingHwPagetable parent, ulong iova)
        {
            _owner = owner;
            _domain = parent.Unit.CreateDomain();
            _domain.Map(iova, IommufdRig.Page, DmaAccess.ReadWrite, _memory, 0);
        }

        public override IommuDomain Domain => _domain;

        public override Errno CheckInvalidation(uint dataType, uint entryLength, uint count) =>
            dataType != InvalidationType || (count != 0 && entryLength < 4) ? Errno.EINVAL : Errno.None;

        public override Errno Invalidate(ReadOnlySpan<byte> entry)
        {
            uint slot = MemoryMarshal.Read<uint>(entry);
            if (slot >= 8)
            {
                return Errno.EOPNOTSUPP;
            }

            _owner.Invalidated.Add(slot);
            return Errno.None;
        }

        protected override void Dispose(bool disposing)
        {
            _domain.Dispose();
            _memory.Release();
            _owner.Alive--;
        }
    }
}
