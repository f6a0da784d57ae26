using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio.Tests.Iommufd;

public sealed class FaultQueueTests : IDisposable
{
    private readonly MockNesting _nesting = new();
    private readonly IommufdRig _rig;
    private readonly VfioCdevFile _file;
    private readonly FaultQueue _queue;
    private readonly HwPagetable _table;
    private readonly PagingHwPagetable _parent;
    private readonly List<IommuFaultResponseCode> _answers = [];

    public FaultQueueTests()
    {
        _rig = new IommufdRig(new IommuUnitOptions { NestedTranslations = [_nesting] });
        Ioas ioas = _rig.Context.AllocateIoas();
        _file = _rig.Bind();
        var call = new IommuFaultAlloc { Size = IommuFaultAlloc.Length };
        _rig.Ioctl(IommufdRequest.FaultQueueAlloc, ref call);
        _queue = Assert.IsType<FaultQueue>(_rig.Files.Find(call.OutFaultDescriptor));
        Assert.Equal(call.OutFaultId, _queue.Id);
        uint device = _file.Binding!.Id;
        _parent = (PagingHwPagetable)_rig.Context.AllocateHwPagetable(new HwPagetableRequest
        {
            DeviceId = device, ParentId = ioas.Id, Flags = IommuHwptAllocFlags.NestParent,
        });
        _table = _rig.Context.AllocateHwPagetable(new HwPagetableRequest
        {
            DeviceId = device,
            ParentId = _parent.Id,
            Flags = IommuHwptAllocFlags.FaultIdValid,
            DataType = MockNesting.Type,
            Data = new byte[8],
            FaultId = _queue.Id,
        });
        _file.Attach(_table.Id);
    }

    public void Dispose()
    {
        _file.Dispose();
        _rig.Dispose();
    }

    [Fact]
    [Trait("Row", "H23")]
    public void Fault_ReadAndAnswered_RetrySucceeds()
    {
        Assert.Empty(Read(4));
        Report(0x5000);
        Assert.True(_queue.HasWaiting);
        IommuHwptPageFault record = Assert.Single(Read(4));
        Assert.Equal(0x5000ul, record.Address);
        Assert.Equal(_file.Binding!.Id, record.DeviceId);
        Assert.Equal(IommuFaultFlags.LastPage, record.Flags);
        Assert.Empty(_answers);
        Answer(record.Cookie, IommuFaultResponseCode.Success);
        Assert.Equal([IommuFaultResponseCode.Success], _answers);
        Assert.Equal(Errno.EINVAL, AnswerError(record.Cookie, 0));
    }

    [Fact]
    [Trait("Row", "H24")]
    public void ReadAndWrite_BadSizesAndAnswers_EachHasItsErrno()
    {
        Assert.Equal(Errno.ESPIPE, ErrnoOf(() => _queue.Read(new byte[39])));
        Assert.Equal(Errno.ESPIPE, ErrnoOf(() => _queue.Write(new byte[7])));
        Assert.Equal(Errno.EINVAL, AnswerError(77, 0));
        Report(0x5000);
        uint cookie = Read(1)[0].Cookie;
        Assert.Equal(Errno.EINVAL, AnswerError(cookie, 2));
        IommuHwptPageResponse[] two = [new() { Cookie = cookie }, new() { Cookie = 77 }];
        Assert.Equal(IommuHwptPageResponse.Length, _queue.Write(MemoryMarshal.AsBytes(two.AsSpan())));
    }

    [Fact]
    [Trait("Row", "H24")]
    public void Read_GroupLargerThanTheBuffer_EINVALAndWholeGroupsOnly()
    {
        Report(0x5000);
        Report(0x6000, 0x7000);
        Assert.Single(Read(1));
        Assert.Equal(2, Read(2).Length);
        Report(0x8000, 0x9000);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => Read(1)));
        IommuHwptPageFault[] pair = Read(2);
        Assert.Equal([IommuFaultFlags.None, IommuFaultFlags.LastPage], pair.Select(f => f.Flags));
        Assert.Equal(pair[0].Cookie, pair[1].Cookie);
    }

    [Fact]
    [Trait("Row", "H26")]
    public void Replace_FaultsPending_AnsweredAndQueueFree()
    {
        Report(0x5000);
        Read(1);
        Report(0x6000);
        _file.Attach(_parent.Id);
        Assert.Equal([IommuFaultResponseCode.Invalid, IommuFaultResponseCode.Invalid], _answers);
        Assert.False(_queue.HasWaiting);
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _rig.Context.Destroy(_queue.Id)));
        _rig.Context.Destroy(_table.Id);
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _rig.Context.Destroy(_queue.Id)));
        _queue.Dispose();
        _rig.Context.Destroy(_queue.Id);
    }

    [Fact]
    public void Fault_TableWithoutQueue_InvalidAtOnce()
    {
        _file.Attach(_parent.Id);
        Report(0x5000);
        Assert.Equal([IommuFaultResponseCode.Invalid], _answers);
    }

    private void Report(params ulong[] addresses) => _file.Binding!.ReportFaults(
        [.. addresses.Select(a => new IommuHwptPageFault { Address = a, Permissions = IommuFaultPermissions.Write })], _answers.Add);

    private IommuHwptPageFault[] Read(int records)
    {
        byte[] buffer = new byte[records * IommuHwptPageFault.Length];
        int bytes = _queue.Read(buffer);
        return MemoryMarshal.Cast<byte, IommuHwptPageFault>(buffer.AsSpan(0, bytes)).ToArray();
    }

    private void Answer(uint cookie, IommuFaultResponseCode code)
    {
        var response = new IommuHwptPageResponse { Cookie = cookie, Code = code };
        Assert.Equal(8, _queue.Write(MemoryMarshal.AsBytes(new ReadOnlySpan<IommuHwptPageResponse>(in response))));
    }

    private Errno AnswerError(uint cookie, uint code) => ErrnoOf(() => Answer(cookie, (IommuFaultResponseCode)code));
}
