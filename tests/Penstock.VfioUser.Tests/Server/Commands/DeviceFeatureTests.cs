using Penstock.Interop;
using Penstock.Pci;
using Penstock.Vfio;
using static Penstock.VfioUser.Tests.MigrationWire;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Command 16, DEVICE_FEATURE, and the row "short DEVICE_FEATURE bodies".</summary>
public sealed class DeviceFeatureTests : IDisposable
{
    private readonly ServedMovable _rig = new();

    public void Dispose() => _rig.Dispose();

    [Theory]
    [InlineData(1u, Cmd.Get, Cmd.Set)]
    [InlineData(2u, Cmd.Get | Cmd.Set, 0u)]
    [InlineData(6u, Cmd.Set, Cmd.Get)]
    [InlineData(7u, Cmd.Set, Cmd.Get)]
    [InlineData(8u, Cmd.Get, Cmd.Set)]
    [InlineData(9u, Cmd.Get, Cmd.Set)]
    public void Probe_KnownFeature_EchoesAndDoesNothing(uint feature, uint possible, uint impossible)
    {
        foreach (uint operation in new uint[] { 0, possible })
        {
            byte[] request = Feature(feature, Cmd.Probe | operation);
            WireMessage reply = _rig.Client.Call(Cmd.Feature, request);
            Assert.Equal(0u, reply.Error);
            Assert.Equal(request, reply.Body);
        }

        if (impossible != 0)
        {
            Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.Feature, Feature(feature, Cmd.Probe | impossible)));
            Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.Feature, Feature(feature, impossible, new byte[64])));
        }

        byte[] data = Feature(2, Cmd.Probe | Cmd.Set, new Payload().U32(Stop, 0));
        Assert.Equal(data, _rig.Client.Call(Cmd.Feature, data).Body);
        Assert.Equal(Running, _rig.Client.State());
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(3u)]
    [InlineData(4u)]
    [InlineData(5u)]
    [InlineData(10u)]
    [InlineData(11u)]
    [InlineData(12u)]
    [InlineData(13u)]
    [InlineData(14u)]
    [InlineData(0xffffu)]
    public void Feature_ThatIsNotOffered_IsEnottyWhateverIsAsked(uint feature)
    {
        foreach (uint operation in new[] { Cmd.Get, Cmd.Set, Cmd.Probe, Cmd.Probe | Cmd.Get | Cmd.Set })
        {
            Assert.Equal(Errno.ENOTTY, _rig.Client.Try(Cmd.Feature, Feature(feature, operation, new byte[32])));
        }

        _rig.Client.AssertAlive();
    }

    [Theory]
    [InlineData(0x80000u)]
    [InlineData(Cmd.Get | 0x80000u)]
    [InlineData(Cmd.Get | 0x80000000u)]
    [InlineData(Cmd.Get | Cmd.Set)]
    [InlineData(0u)]
    public void Feature_OperationThatCannotBe_IsEinval(uint operation)
    {
        for (uint feature = 0; feature < 16; feature++)
        {
            Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.Feature, Feature(feature, operation, new byte[32])));
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(7)]
    [Trait("Row", "VU-F7")]
    public void Feature_BodyShorterThanItsHead_IsEinval(int length)
    {
        byte[] body = Feature(1, Cmd.Get, argsz: 16);
        Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.Feature, body[..length]));
        Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.Feature, Feature(1, Cmd.Get, argsz: (uint)length)));
        _rig.Client.AssertAlive();
    }

    [Theory]
    [InlineData(2u, Cmd.Set, 8)]
    [InlineData(6u, Cmd.Set, 16)]
    [InlineData(8u, Cmd.Get, 24)]
    [Trait("Row", "VU-F7")]
    public void Feature_BodyShorterThanItsData_IsEinval(uint feature, uint operation, int data)
    {
        for (int length = 0; length < data; length++)
        {
            Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.Feature, Feature(feature, operation, new byte[length], argsz: 4096)));
        }

        Assert.Equal(Running, _rig.Client.State());
    }

    [Theory]
    [InlineData(1u, 8u)]
    [InlineData(1u, 15u)]
    [InlineData(2u, 15u)]
    [InlineData(9u, 15u)]
    public void Get_ReplyLongerThanTheClientTakes_IsEinval(uint feature, uint argsz) =>
        Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.Feature, Feature(feature, Cmd.Get, argsz: argsz)));

    [Fact]
    public void Set_ArgszShorterThanTheData_IsEinval()
    {
        Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.Feature, Feature(2, Cmd.Set, new Payload().U32(Stop, 0), argsz: 15)));
        Assert.Equal(Running, _rig.Client.State());
    }

    [Theory]
    [InlineData(16u)]
    [InlineData(64u)]
    public void Get_Flags_AreTheDevices(uint argsz)
    {
        WireMessage reply = _rig.Client.Call(Cmd.Feature, Feature(1, Cmd.Get, new byte[8], argsz));
        Assert.Equal((0u, 16u, 1 | Cmd.Get, 7u, 0u), (reply.Error, reply.U32(0), reply.U32(4), reply.U32(8), reply.U32(12)));
        Assert.Equal(16, reply.Body.Length);
    }

    [Fact]
    public void Get_DataSize_IsAboutTheState()
    {
        WireMessage reply = _rig.Client.Call(Cmd.Feature, Feature(9, Cmd.Get, argsz: 16));
        Assert.InRange(reply.U32(8), (uint)MovableFunction.StorageSize, (uint)MovableFunction.StorageSize + 4096);
        Assert.Equal(0u, reply.U32(12));
    }

    [Theory]
    [InlineData(Stop)]
    [InlineData(StopCopy)]
    [InlineData(Resuming)]
    [InlineData(RunningP2P)]
    [InlineData(PreCopy)]
    [InlineData(PreCopyP2P)]
    public void Set_State_IsEchoedAndTold(uint state)
    {
        byte[] request = SetState(state);
        WireMessage reply = _rig.Client.Call(Cmd.Feature, request);
        Assert.Equal(0u, reply.Error);
        Assert.Equal(request, reply.Body);
        Assert.Equal(state, _rig.Client.State());
        Assert.Equal(Errno.None, _rig.Client.Move(state));

        // A state that was never written cannot be put in.
        Assert.Equal(state == Resuming ? Errno.EINVAL : Errno.None, _rig.Client.Move(Running));
        Assert.Equal(state == Resuming ? Error : Running, _rig.Client.State());
    }

    [Theory]
    [InlineData(Error)]
    [InlineData(8u)]
    [InlineData(uint.MaxValue)]
    public void Set_StateThatIsNone_IsEinval(uint state)
    {
        Assert.Equal(Errno.EINVAL, _rig.Client.Move(state));
        Assert.Equal(Running, _rig.Client.State());
    }

    [Fact]
    public void Set_PreCopyFromStopCopy_IsEinvalAndStateKept()
    {
        Assert.Equal(Errno.None, _rig.Client.Move(StopCopy));
        Assert.Equal(Errno.EINVAL, _rig.Client.Move(PreCopy));
        Assert.Equal(StopCopy, _rig.Client.State());
    }

    [Theory]
    [InlineData(Stop)]
    [InlineData(StopCopy)]
    [InlineData(Resuming)]
    [Trait("Row", "VU-F9")]
    public void Stopped_OtherCommands_AreStillAnswered(uint state)
    {
        using MemoryFile memory = Handles.Memory(0x10000);
        Assert.Equal(Errno.None, _rig.Client.Move(state));
        _rig.Client.AssertAlive();
        Assert.Equal(0x34, _rig.Client.Read(Cmd.ConfigRegion, 0, 4)[0]);
        _rig.Client.Write(0, 0, 1);
        _rig.Client.Succeed(Cmd.DmaMap, WireClient.Map(0, 0x10000), memory.Number());
        _rig.Client.Succeed(Cmd.DmaUnmap, WireClient.Unmap(0, 0x10000));
        Assert.Equal(Errno.None, _rig.Client.Try(Cmd.Reset, []));
        Assert.Equal(Running, _rig.Client.State());
    }

    [Fact]
    public void Set_NoReplyWanted_IsDoneSilently()
    {
        _rig.Client.Send(Cmd.Feature, SetState(Stop), Cmd.NoReply);
        _rig.Client.Send(Cmd.Feature, SetState(99), Cmd.NoReply);
        Assert.Equal(Stop, _rig.Client.State());
    }

    [Fact]
    public void Disconnect_Stopped_NextClientFindsItRunning()
    {
        Assert.Equal(Errno.None, _rig.Client.Move(StopCopy));
        _rig.Client.Dispose();
        _rig.Served.NextEnd();
        using WireClient next = _rig.Served.Connect();
        Assert.Equal(Running, next.State());
    }

    [Fact]
    public void DeviceThatDoesNotMigrate_HasNoSuchFeatures()
    {
        using var plain = new ServedFunction();
        using WireClient client = plain.Connect();
        foreach (uint feature in new uint[] { 1, 2, 9 })
        {
            Assert.Equal(Errno.ENOTTY, client.Try(Cmd.Feature, Feature(feature, Cmd.Probe)));
            Assert.Equal(Errno.ENOTTY, client.Try(Cmd.Feature, Feature(feature, Cmd.Get, argsz: 64)));
        }

        Assert.Equal(Errno.EINVAL, client.Try(Cmd.MigRead, MigRead(16)));
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.MigWrite, MigWrite([1, 2, 3])));

        // What it writes can be followed all the same.
        Assert.Equal(Errno.None, client.Try(Cmd.Feature, Start(Page, (0, Page))));
    }

    [Fact]
    public void DeviceThatDoesNotLog_HasNoSuchFeatures()
    {
        using var forgetful = new ServedFunction(device: static (function, group) => new ForgetfulDevice(function, group));
        using WireClient client = forgetful.Connect();
        foreach (uint feature in new uint[] { 6, 7, 8 })
        {
            Assert.Equal(Errno.ENOTTY, client.Try(Cmd.Feature, Feature(feature, Cmd.Probe)));
            Assert.Equal(Errno.ENOTTY, client.Try(Cmd.Feature, Feature(feature, feature == 8 ? Cmd.Get : Cmd.Set, new byte[64])));
        }

        client.AssertAlive();
    }

    [Fact]
    public void Version_Migration_IsToldWhenBothSpeakOfIt()
    {
        using var plain = new ServedFunction();
        using WireClient quiet = plain.ConnectRaw();
        Assert.DoesNotContain("migration", Words(quiet, WireClient.QemuJson), StringComparison.Ordinal);
        _rig.Client.Dispose();
        _rig.Served.NextEnd();
        using (WireClient old = _rig.Served.ConnectRaw())
        {
            Assert.DoesNotContain("migration", Words(old, "{\"capabilities\":{}}"), StringComparison.Ordinal);
        }

        _rig.Served.NextEnd();
        using WireClient qemu = _rig.Served.ConnectRaw();
        string words = Words(qemu, WireClient.QemuJson);
        Assert.EndsWith(",\"migration\":{\"pgsize\":4096}}}\0", words, StringComparison.Ordinal);

        // QEMU takes no reply longer than its own request.
        Assert.True(words.Length <= WireClient.QemuJson.Length + 1);
    }

    [Theory]
    [InlineData("{\"capabilities\":{\"migration\":7}}")]
    [InlineData("{\"capabilities\":{\"migration\":{\"pgsize\":true}}}")]
    [InlineData("{\"capabilities\":{\"migration\":{\"pgsize\":0}}}")]
    [InlineData("{\"capabilities\":{\"migration\":{\"pgsize\":4097}}}")]
    [InlineData("{\"capabilities\":{\"migration\":{\"max_bitmap_size\":-1}}}")]
    public void Version_MigrationThatCannotBe_IsEinval(string json)
    {
        _rig.Client.Dispose();
        _rig.Served.NextEnd();
        using WireClient client = _rig.Served.ConnectRaw();
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.Version, WireClient.Version(0, json)));
        client.AssertClosed();
    }

    private sealed class ForgetfulDevice(IPciFunction function, IommuGroup group) : VfioPciCoreDevice(ServedFunction.SlotName, function, group)
    {
        protected override LoggingOperations? Logging => null;
    }

    private static string Words(WireClient client, string json) =>
        System.Text.Encoding.ASCII.GetString(client.Call(Cmd.Version, WireClient.Version(0, json)).Body.AsSpan(4));
}
